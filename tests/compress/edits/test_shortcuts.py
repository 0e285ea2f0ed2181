"""A padded shortcut becomes a convolution that computes the same, and no runtime leaves its fast path for it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from artifacts.specs import Signature
from artifacts.types import Engine, ModelRef, TorchModel
from compress import fold as folding
from compress.configs import QuantizeConfig
from compress.fold import example_tensors, fold
from compress.quantizers import QUANTIZERS, Calibration
from export.onnx.export import export
from runtimes.onnxruntime.runtime import OnnxRuntimeCpu
from zoo.signatures import trace_signature


class Forms(nn.Module):
    """One way of padding and slicing, between two convolutions."""

    def __init__(self, form):
        super().__init__()
        self.first, self.form = nn.Conv2d(1, 4, 3, padding=1), form

    def forward(self, image):
        return self.form(self.first(image)).mean((2, 3))


ALIKE = {
    "both sides": lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)),
    "one side": lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, 3)),
    "no stride": lambda x: F.pad(x, (0, 0, 0, 0, 1, 2)),
    "two strides": lambda x: F.pad(x[:, :, ::4, ::2], (0, 0, 0, 0, 0, 3)),
    "odd image": lambda x: F.pad(x[:, :, 1:, 1:].relu()[:, :, ::2, ::2], (0, 0, 0, 0, 0, 3)),
}
OTHER = {
    "image padding": lambda x: F.pad(x, (1, 1, 0, 0, 2, 2)),
    "ones": lambda x: F.pad(x, (0, 0, 0, 0, 2, 2), value=1.0),
    "cropped channels": lambda x: F.pad(x, (0, 0, 0, 0, -1, 2)),
}


def model(form, digits):
    torch.manual_seed(0)
    module = Forms(form).eval()
    return TorchModel(module, ModelRef(factory="nowhere:forms"), trace_signature(module, digits))


def convolutions(graph):
    return sum("conv2d" in str(node.target) for node in graph.graph.nodes)


@pytest.mark.parametrize("name", ALIKE)
def test_it_computes_exactly_the_same(name, digits):
    made = model(ALIKE[name], digits)
    graph = fold(made.module, made.signature)
    inputs = example_tensors(made.signature)
    assert convolutions(graph) == 2
    assert torch.equal(graph(*inputs), made.module(*inputs))


@pytest.mark.parametrize("name", OTHER)
def test_any_other_padding_is_left(name, digits):
    made = model(OTHER[name], digits)
    graph = fold(made.module, made.signature)
    inputs = example_tensors(made.signature)
    assert convolutions(graph) == 1
    torch.testing.assert_close(graph(*inputs), made.module(*inputs))


def test_a_start_that_is_not_the_first_pixel_is_left_to_a_slice(digits):
    made = model(lambda x: F.pad(x[:, :, 1::2, 1::2], (0, 0, 0, 0, 2, 2)), digits)
    graph = fold(made.module, made.signature)
    inputs = example_tensors(made.signature)
    assert torch.equal(graph(*inputs), made.module(*inputs))


def test_nothing_trains_the_weight(tiny_a):
    graph = fold(tiny_a.module, tiny_a.signature)
    assert not [name for name, _ in graph.named_parameters() if name.startswith("shortcut")]
    assert len([name for name, _ in graph.named_buffers() if name.startswith("shortcut")]) == 2


@pytest.mark.slow
def test_int8_rounds_the_shortcut_no_more_than_its_padding_did(tiny_a, digits, tmp_path, monkeypatch):
    def outputs(name):
        for folder in ("plain", "int8"):
            (tmp_path / name / folder).mkdir(parents=True)
        plain = export(tiny_a, tmp_path / name / "plain")
        calibration = Calibration(digits.train, QuantizeConfig(calibration_samples=128), 0, tiny_a)
        file = QUANTIZERS["onnx-qdq"].load()(plain, tmp_path / name / "int8", calibration)
        session = OnnxRuntimeCpu().open(Engine("onnxruntime-cpu", file.path, Signature(())), 1)
        return next(iter(session.run(inputs).values())), session.placement()

    inputs = digits.test.batch(np.arange(len(digits.test)))[0]
    converted, placement = outputs("converted")
    assert placement.fallback == {}
    assert "Pad" not in placement.accelerated
    with monkeypatch.context() as patch:
        patch.setattr(folding, "as_convolutions", lambda graph: 0)
        padded, _ = outputs("padded")
    with torch.no_grad():
        wanted = tiny_a.module(torch.from_numpy(next(iter(inputs.values())))).numpy()
    # both round to 8 bit; neither may be clearly worse against the float network
    assert np.sqrt(np.mean((converted - wanted) ** 2)) < 1.25 * np.sqrt(np.mean((padded - wanted) ** 2))
