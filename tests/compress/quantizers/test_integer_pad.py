"""A Pad between integer layers stays in integers on ONNX Runtime, and computes the same."""

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from artifacts.specs import Signature
from artifacts.types import Engine, ModelRef, TorchModel
from compress.configs import QuantizeConfig
from compress.quantizers import QUANTIZERS, Calibration
from compress.quantizers.onnx import qdq
from compress.quantizers.onnx.integer_pad import pad_in_integers
from compress.training.loop import predict
from export.onnx.export import export
from runtimes.onnxruntime.runtime import OnnxRuntimeCpu
from zoo.signatures import trace_signature


class Padded(nn.Module):
    """Pads one side only, which no convolution can do for itself, once image and once channels."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 3), nn.Conv2d(12, 16, 3)
        self.linear = nn.Linear(16, 10)

    def forward(self, image):
        x = F.pad(torch.relu(self.first(image)), (0, 1, 0, 1))
        x = torch.relu(self.second(F.pad(x, (1, 0, 1, 0, 2, 2))))
        return self.linear(x.mean((2, 3), keepdim=True).flatten(1))


@pytest.fixture(scope="module")
def padded(digits):
    torch.manual_seed(0)
    module = Padded().eval()
    return TorchModel(module, ModelRef(factory="nowhere:padded"), trace_signature(module, digits))


def quantized(model, digits, tmp_path, name):
    config = QuantizeConfig(calibration_samples=128)
    (tmp_path / "float").mkdir(exist_ok=True)
    (tmp_path / name).mkdir()
    plain = export(model, tmp_path / "float")
    return QUANTIZERS[name].load()(plain, tmp_path / name, Calibration(digits.train, config, 0, model))


def test_a_pad_leaves_nothing_in_float(padded, digits, tmp_path):
    file = quantized(padded, digits, tmp_path, "onnx-qdq")
    placement = OnnxRuntimeCpu().open(Engine("onnxruntime-cpu", file.path, Signature(())), 1).placement()
    assert placement.accelerated["Pad"] == 2
    assert placement.fallback == {}


def test_the_outputs_are_those_of_padding_in_float(padded, digits, tmp_path, monkeypatch):
    def outputs(name):
        (tmp_path / name).mkdir()
        file = quantized(padded, digits, tmp_path / name, "onnx-qdq")
        onnx.checker.check_model(str(file.path))
        return next(iter(OnnxRuntimeCpu().open(Engine("onnxruntime-cpu", file.path, Signature(())), 1).run(inputs).values()))

    inputs = digits.test.batch(np.arange(len(digits.test)))[0]
    moved = outputs("moved")
    monkeypatch.setattr(qdq, "pad_in_integers", lambda model: 0)
    left = outputs("left")
    float_spread = predict(padded.module, digits.test).std()
    # the two round the shortcut on slightly different grids
    assert np.sqrt(np.mean((moved - left) ** 2)) < 0.02 * float_spread


def test_tensorrt_keeps_its_pairs_around_the_pad(padded, digits, tmp_path):
    graph = onnx.load(quantized(padded, digits, tmp_path, "onnx-qdq-symmetric").path).graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    pads = [node for node in graph.node if node.op_type == "Pad"]
    assert [made_by[pad.input[0]] for pad in pads] == ["DequantizeLinear"] * 2


@pytest.mark.parametrize(("mode", "value"), [("reflect", None), ("constant", 1.0)])
def test_a_pad_with_anything_but_zero_is_left(mode, value):
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    constants = [
        numpy_helper.from_array(np.float32(0.1), "scale"),
        numpy_helper.from_array(np.uint8(0), "zero"),
        numpy_helper.from_array(np.array([0, 1, 0, 1]), "pads"),
        *([] if value is None else [numpy_helper.from_array(np.float32(value), "value")]),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "scale", "zero"], ["a"]),
        helper.make_node("Pad", ["a", "pads", *(["value"] if value is not None else [])], ["b"], mode=mode),
        helper.make_node("QuantizeLinear", ["b", "scale", "zero"], ["y"]),
    ]
    tensor = onnx.TensorProto.UINT8
    graph = helper.make_graph(
        nodes,
        "padded",
        [helper.make_tensor_value_info("x", tensor, [2, 3])],
        [helper.make_tensor_value_info("y", tensor, [2, 5])],
        constants,
    )
    model = helper.make_model(graph)
    before = model.SerializeToString()
    assert pad_in_integers(model) == 0
    assert model.SerializeToString() == before
