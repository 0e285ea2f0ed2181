"""A layer kept float between layers in int8 is in float when ONNX Runtime runs it, too."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

from artifacts.specs import Signature, TensorSpec
from artifacts.types import ModelRef, TorchModel
from compress.configs import QuantizeConfig
from compress.quantizers import QUANTIZERS, Calibration
from export.registry import FORMATS
from zoo.splits import ArraySplit


class Chain(nn.Module):
    """Three layers in a row; the middle one has an input channel with weights 1000 times as large, which is always zero."""

    def __init__(self, kind):
        super().__init__()
        layers = {
            "conv": lambda: nn.Conv2d(8, 8, 3, padding=1), "grouped": lambda: nn.Conv2d(8, 8, 3, padding=1, groups=2),
            "linear": lambda: nn.Linear(8, 8),
        }  # fmt: skip
        self.first, self.middle, self.last = (layers["conv" if kind == "grouped" else kind]() for _ in range(3))
        if kind == "grouped":
            self.middle = layers["grouped"]()
        with torch.no_grad():
            self.first.weight[0] = 0
            self.first.bias[0] = 0
            self.middle.weight[:, 0] *= 1000

    def forward(self, x):
        return self.last(torch.relu(self.middle(torch.relu(self.first(x)))))


def session(path, level=ort.GraphOptimizationLevel.ORT_ENABLE_ALL):
    settings = ort.SessionOptions()
    settings.graph_optimization_level = level
    settings.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["conv", "grouped", "linear"])
def test_what_is_kept_float_is_run_in_float(kind, tmp_path):
    torch.manual_seed(0)
    shape = (8,) if kind == "linear" else (8, 6, 6)
    specs = (TensorSpec("x", "float32", ("batch", *shape)),), (TensorSpec("y", "float32", ("batch", *shape)),)
    model = TorchModel(Chain(kind).eval(), ModelRef(None, None), Signature(*specs))
    inputs = np.random.default_rng(0).normal(size=(64, *shape)).astype(np.float32)
    if kind == "grouped":  # the zero channel is the first of the first group only, which is where the weights are large
        with torch.no_grad():
            model.module.middle.weight[4:, 0] /= 1000
    split = ArraySplit({"x": inputs}, np.zeros(64, np.int64))
    (tmp_path / "float").mkdir()
    (tmp_path / "int8").mkdir()
    plain = FORMATS["onnx"].load()(model, tmp_path / "float")
    config = QuantizeConfig(calibration_samples=64, per_channel=False, keep_float=("middle",))
    made = QUANTIZERS["onnx-qdq"].load()(plain, tmp_path / "int8", Calibration(split, config, 0, model))
    expected = session(plain.path).run(None, {"x": inputs})[0]
    found = session(made.path).run(None, {"x": inputs})[0]
    as_written = session(made.path, ort.GraphOptimizationLevel.ORT_DISABLE_ALL).run(None, {"x": inputs})[0]
    assert np.abs(found - as_written).max() < 0.05 * expected.std()
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.05 * expected.std()
    onnx.checker.check_model(str(made.path), full_check=True)
