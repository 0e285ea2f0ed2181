"""What the runtimes say of each layer: complete, named by the model's own layers, with the MACs that were counted on it."""

from pathlib import Path

import numpy as np
import pytest
from torch import nn

from artifacts.specs import Signature, TensorSpec
from artifacts.types import ModelRef, TorchModel
from compress.configs import QuantizeConfig
from compress.counting import macs
from compress.quantizers import QUANTIZERS, Calibration
from export.registry import FORMATS
from runtimes.layer_names import OnnxLayers, convolution_macs
from runtimes.onnxruntime.profile import _runs
from runtimes.onnxruntime.runtime import OnnxRuntimeCpu

EXAMPLE = {"image": np.random.default_rng(0).standard_normal((1, 3, 16, 16)).astype(np.float32)}
LAYERS = {"stem", "body.0", "body.2", "head"}


class Network(nn.Module):
    """A plain, a grouped and a pointwise convolution, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, stride=2)
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU(), nn.Conv2d(8, 12, 1), nn.ReLU())
        self.head = nn.Linear(12, 10)

    def forward(self, image):
        return self.head(self.body(self.stem(image).relu()).mean((2, 3)))


class Images:
    """Enough examples to calibrate with."""

    def __len__(self) -> int:
        return 16

    def batch(self, indices):
        values = np.random.default_rng(1).standard_normal((len(indices), 3, 16, 16)).astype(np.float32)
        return {"image": values}, np.zeros(len(indices), np.int64)

    def fingerprint(self) -> str:
        return "none"


@pytest.fixture(scope="module")
def model():
    inputs, outputs = TensorSpec("image", "float32", ("batch", 3, 16, 16)), TensorSpec("logits", "float32", ("batch", 10))
    return TorchModel(Network().eval(), ModelRef(factory="none"), Signature((inputs,), (outputs,)))


@pytest.fixture(scope="module")
def plain(model, tmp_path_factory):
    """The float ONNX file."""
    return FORMATS["onnx"].load()(model, tmp_path_factory.mktemp("float"))


def folder_in(path: Path, name: str) -> Path:
    (path / name).mkdir()
    return path / name


def check(times, module) -> None:
    """The promises that hold for every runtime."""
    total = sum(layer.ms for layer in times.layers)
    assert sum(layer.ms / total for layer in times.layers) == pytest.approx(1)
    assert all(layer.ms >= 0 for layer in times.layers)
    assert times.runs >= 20
    assert {layer.layer for layer in times.layers if layer.macs} <= LAYERS
    assert sum(layer.macs or 0 for layer in times.layers) <= macs(module, EXAMPLE)


def test_onnx_runtime_names_the_layers_of_float_and_int8_files(model, plain, tmp_path):
    config = QuantizeConfig(calibration_samples=16)
    quantized = QUANTIZERS["onnx-qdq"].load()(plain, folder_in(tmp_path, "int8"), Calibration(Images(), config, 0, model))
    for file, precision in ((plain, "fp32"), (quantized, "int8")):
        runtime = OnnxRuntimeCpu()
        times = runtime.open(runtime.build(file, tmp_path), 1).layer_times(EXAMPLE)
        check(times, model.module)
        heavy = [layer for layer in times.layers if layer.macs]
        assert {layer.layer for layer in heavy} == LAYERS
        assert sum(layer.macs for layer in heavy) == macs(model.module, EXAMPLE)
        assert {layer.precision for layer in heavy} == {precision}


def test_openvino_names_the_layers(model, tmp_path):
    pytest.importorskip("openvino")
    from runtimes.openvino.runtime import OpenVinoCpu

    file = FORMATS["openvino"].load()(model, folder_in(tmp_path, "ir"))
    runtime = OpenVinoCpu()
    times = runtime.open(runtime.build(file, tmp_path), 1).layer_times(EXAMPLE)
    check(times, model.module)
    stem = next(layer for layer in times.layers if layer.layer == "stem")
    assert stem.macs == convolution_macs((1, 8, 8, 8), (8, 3, 3, 3))
    assert stem.precision == "fp32"


def test_onnx_layers_know_nothing_of_a_name_that_is_not_there(plain):
    layers = OnnxLayers(plain.path, EXAMPLE)
    assert layers.find("no_such_node") is None
    assert layers.find("relu_nchwc") == layers.find("node_conv2d")  # a fused convolution goes by its last tensor


def test_a_run_with_other_nodes_is_left_out():
    def event(name, at):
        return {"cat": "Node", "name": f"{name}_kernel_time", "ts": at, "dur": 1, "args": {}}

    ends = [{"cat": "Session", "name": "model_run", "ts": at, "dur": 9} for at in (0, 10, 20)]
    events = [event("a", 1), event("b", 5), event("a", 11), event("b", 21), event("a", 25), *ends]
    # the first and the last run, in the order of the last
    assert [[e["name"][0] for e in run] for run in _runs(events)] == [["b", "a"], ["b", "a"]]
