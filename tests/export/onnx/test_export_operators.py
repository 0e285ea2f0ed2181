"""A user's own operators in ONNX files: translated, kept right, and refused in one sentence where that cannot be."""

import numpy as np
import onnx
import onnxscript
import pytest
import torch
from onnxscript import opset18 as op
from torch import nn

from artifacts.errors import ModelError
from artifacts.specs import Signature
from artifacts.types import Engine
from benchmarks.parity.bisect import first_divergence
from compress.fold import fold, is_layer, operator
from export.onnx.export import export as export_onnx
from export.onnx.export import export_stock
from runtimes.onnxruntime.runtime import OnnxRuntimeCpu


@torch.library.custom_op("tightship_tests::cap", mutates_args=())
def cap(x: torch.Tensor, top: float = 1.0) -> torch.Tensor:
    return x.clamp(0, top)


@cap.register_fake
def _(x, top=1.0):
    return torch.empty_like(x)


@torch.library.custom_op("tightship_tests::linear", mutates_args=())
def linear(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return x * other


@linear.register_fake
def _(x, other):
    return torch.empty_like(x)


NAME = "tightship_tests::cap"
OTHER = onnxscript.values.Opset("another.domain", 1)


def right(x, top=1.0):
    return op.Clip(x, 0.0, top)


@onnxscript.script(default_opset=op)
def scripted(x, top: float = 1.0):
    return op.Clip(x, 0.0, top)


def wrong(x, top=1.0):
    return op.Clip(x, -1.0, top)


def too_few(x):
    return op.Relu(x)


def too_many(x, top, other):
    return op.Clip(x, other, top)


def failing(x, top=1.0):
    raise KeyError("no such thing")


def elsewhere(x, top=1.0):
    return OTHER.Cap(x)


def nothing(x, top=1.0):
    op.Clip(x, 0.0, top)


class Net(nn.Module):
    def __init__(self, then=lambda y: torch.ops.tightship_tests.cap(y, 0.7)):
        super().__init__()
        self.conv, self.head, self.then = nn.Conv2d(3, 4, 3), nn.Linear(4, 5), then

    def forward(self, x):
        return self.head(self.then(self.conv(x)).mean((2, 3)))


@pytest.fixture
def model(wrap):
    """Makes a network with the operator, translated by a function of this file."""
    from dataclasses import replace

    def make(function, name=NAME, **net):
        torch.manual_seed(0)
        return replace(wrap(Net(**net)), operators={name: f"{__name__}:{function}"} if function else {})

    return make


@pytest.mark.parametrize("function", ["right", "scripted"])
def test_a_translated_operator_computes_what_it_computed(model, tmp_path, function):
    made = model(function)
    file = export_onnx(made, tmp_path)
    assert file.notes[1] == f"{NAME} translated by {__name__}:{function}"
    proto = onnx.load(file.path)
    assert "Clip" in [n.op_type for n in proto.graph.node]
    assert {n.domain for n in proto.graph.node} <= {"", "ai.onnx"}
    assert not proto.functions
    x = np.random.default_rng(0).normal(size=(5, 3, 8, 8)).astype(np.float32)
    with torch.no_grad():
        expected = made.module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(
        OnnxRuntimeCpu().open(Engine("onnxruntime-cpu", file.path, Signature(())), 1).run({"x": x})["output"],
        expected,
        rtol=1e-4,
        atol=1e-5,
    )


def test_the_stock_file_is_translated_too(model, tmp_path):
    assert "Clip" in [n.op_type for n in onnx.load(export_stock(model("right"), tmp_path).path).graph.node]


def test_a_translation_that_computes_something_else_is_named(model, tmp_path):
    made = model("wrong")
    x = np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(np.float32)
    divergence = first_divergence(made, export_onnx(made, tmp_path).path, {"x": x})
    assert divergence is not None
    assert "first divergence at 'cap'" in str(divergence)
    right_one = tmp_path / "right"
    right_one.mkdir()
    made = model("right")
    assert first_divergence(made, export_onnx(made, right_one).path, {"x": x}) is None


@pytest.mark.parametrize(
    ("function", "name", "says"),
    [
        (None, NAME, f"no ONNX form: ONNX lacks '{NAME}'; say under export.onnx.operators"),
        ("right", "tightship_tests::cup", f"'tightship_tests::cup', which PyTorch does not know .* did you mean '{NAME}'"),
        ("right", "no_such_library::cap", "'no_such_library::cap', which PyTorch does not know .* register it where"),
        ("missing", NAME, "has no callable 'missing'"),
        ("too_few", NAME, r"too_few takes \(x\), which does not fit tightship_tests::cap\(Tensor x, float top=1.\)"),
        ("too_many", NAME, r"too_many takes \(x, top, other\), which does not fit"),
        ("failing", NAME, "failing failed: KeyError: 'no such thing'; write it with standard operators"),
        ("elsewhere", NAME, "elsewhere failed: .*'Cap'.*'another.domain'; write it with standard operators"),
        ("nothing", NAME, "nothing returned nothing; return the translated result"),
    ],
)
def test_what_cannot_be_translated_is_refused_in_one_sentence(model, tmp_path, function, name, says):
    with pytest.raises(ModelError, match=says) as caught:
        export_onnx(model(function, name), tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_module_that_is_not_there_is_refused(model, tmp_path):
    from dataclasses import replace

    with pytest.raises(ModelError, match=r"export.onnx.operators 'tightship_tests::cap': cannot import 'no_module_7'"):
        export_onnx(replace(model("right"), operators={NAME: "no_module_7:f"}), tmp_path)


def test_an_operator_that_bears_the_name_of_one_of_pytorchs_is_not_taken_for_it(model):
    made = model(None, then=lambda y: torch.ops.tightship_tests.linear(y, y))
    graph = fold(made.module, made.signature).graph
    assert [operator(n) for n in graph.nodes if is_layer(n)] == ["conv2d", "linear"]
    assert "tightship_tests.linear.default" in [operator(n) for n in graph.nodes]


def test_an_operator_kept_in_a_domain_of_its_own_is_refused(model, tmp_path):
    def then(y):
        return torch.onnx.ops.symbolic("another.domain::Cap", [y], dtype=torch.float32, shape=y.shape, version=1)

    with pytest.raises(ModelError, match=r"would need operator another.domain::Cap, which no runtime brings with it"):
        export_onnx(model(None, then=then), tmp_path)
