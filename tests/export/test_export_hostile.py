"""Models that do not export well: each is handled rightly or refused in one sentence, never written wrong."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from artifacts.errors import ModelError
from artifacts.specs import Signature, TensorSpec
from artifacts.types import Engine, ModelRef, TorchModel
from export.registry import FORMATS
from runtimes.onnxruntime.runtime import OnnxRuntimeCpu
from runtimes.registry import find
from runtimes.torch.torchscript import TorchScriptCpu

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Model(nn.Module):
    """A convolution, then whatever is hostile."""

    def __init__(self, then):
        super().__init__()
        self.conv, self.then = nn.Conv2d(3, 4, 3, bias=False), then

    def forward(self, x):
        return self.then(self.conv(x))


HOSTILE = {
    "data-dependent branch": lambda y: y.mean((2, 3)) if y.sum() > 0 else y.amax((2, 3)),
    "batch fixed by a view": lambda y: y.view(2, -1),
    "batch fixed by an int": lambda y: y.reshape(int(y.shape[0]) * 1 if not torch.jit.is_tracing() else 2, -1),
    "output that depends on the data": lambda y: y[y.flatten(1).sum(1) > 0],
    "nested text": lambda y: {"a": {"b": "text"}, "c": y},
    "no tensor": lambda y: 3,
}


def refused(name, model, folder) -> None:
    with pytest.raises(ModelError) as caught:
        FORMATS[name].load()(model, folder)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 600


@pytest.mark.parametrize("format", ["onnx", "torchscript-trace"])
@pytest.mark.parametrize("kind", ["data-dependent branch", "batch fixed by a view"])
def test_hostile_models_are_refused_in_one_sentence(wrap, tmp_path, format, kind):
    refused(format, wrap(Model(HOSTILE[kind])), tmp_path)


def test_rows_chosen_by_the_data_are_refused_where_the_batch_was_promised(wrap, tmp_path):
    refused("torchscript-trace", wrap(Model(HOSTILE["output that depends on the data"])), tmp_path)


def test_a_batch_baked_in_while_tracing_is_refused(wrap, tmp_path):
    refused("torchscript-trace", wrap(Model(HOSTILE["batch fixed by an int"])), tmp_path)


@pytest.mark.parametrize("kind", ["nested text", "no tensor"])
def test_outputs_that_are_no_tensors_are_refused(wrap, tmp_path, kind):
    refused("torchscript-trace", wrap(Model(HOSTILE[kind]), outputs=("a", "c")), tmp_path)


@pytest.mark.parametrize("format", ["onnx", "torchscript-trace"])
def test_nested_outputs_are_written_by_their_names(wrap, tmp_path, format):
    model = wrap(Model(lambda y: {"a": {"b": y}, "c": (y + 1, y.mean((2, 3)))}), outputs=("a_b", "c_0", "c_1"))
    file = FORMATS[format].load()(model, tmp_path)
    target = "onnxruntime-cpu" if format == "onnx" else "torchscript-cpu"
    image = np.ones((3, 3, 8, 8), np.float32)
    found = find(target).runtime().open(Engine(target, file.path, file.signature), 1).run({"x": image})
    assert {name: value.shape for name, value in found.items()} == {"a_b": (3, 4, 6, 6), "c_0": (3, 4, 6, 6), "c_1": (3, 4)}
    np.testing.assert_allclose(found["c_0"], found["a_b"] + 1, rtol=1e-5)


@pytest.mark.parametrize(
    "then", [lambda y: torch.linalg.eigvals(y @ y.mT).abs(), lambda y: torch.linalg.svdvals(y), lambda y: torch.special.i1(y)]
)
def test_an_operator_that_onnx_lacks_is_named(wrap, tmp_path, then):
    model = wrap(Model(then))
    with pytest.raises(ModelError, match="no ONNX form") as caught:
        FORMATS["onnx"].load()(model, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["torchscript-trace", "torchscript-script"])
def test_dropout_left_in_training_mode_is_not_exported(wrap, tmp_path, format):
    model = wrap(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.9)), mode=True)
    file = FORMATS[format].load()(model, tmp_path)
    assert model.module.training
    runtime = TorchScriptCpu()
    session = runtime.open(runtime.build(file, tmp_path), 1)
    x = torch.randn(5, 3, 8, 8)
    with torch.no_grad():
        wanted = model.module.eval()(x).numpy()
    torch.testing.assert_close(
        torch.from_numpy(session.run({"x": x.numpy()})["output"]), torch.from_numpy(wanted), rtol=1e-4, atol=1e-5
    )


def test_dropout_that_never_stops_is_refused(wrap, tmp_path):
    refused("torchscript-trace", wrap(Model(lambda y: F.dropout(y, 0.5, training=True))), tmp_path)


def test_a_branch_on_data_can_be_scripted(wrap, tmp_path):
    class Branch(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.sum() > 0:
                return x.mean((2, 3))
            return -x.mean((2, 3))

    model = wrap(Branch())
    runtime = TorchScriptCpu()
    session = runtime.open(runtime.build(FORMATS["torchscript-script"].load()(model, tmp_path), tmp_path), 1)
    for sign in (1, -1):
        x = torch.rand(3, 3, 8, 8) * sign
        torch.testing.assert_close(torch.from_numpy(session.run({"x": x.numpy()})["output"]), x.abs().mean((2, 3)))


def test_what_cannot_be_scripted_is_refused_in_one_sentence(wrap, tmp_path):
    refused("torchscript-script", wrap(Model(lambda y: y)), tmp_path)


class MaskedInForward(nn.Module):
    """Masks its weight in place whenever it runs, through `.data` or in the open."""

    def __init__(self, hidden):
        super().__init__()
        self.conv, self.hidden = nn.Conv2d(3, 4, 3), hidden
        self.register_buffer("mask", (torch.arange(108).view(4, 3, 3, 3) % 2).float())

    def forward(self, x):
        if self.hidden:
            self.conv.weight.data.mul_(self.mask)
        else:
            with torch.no_grad():
                self.conv.weight.mul_(self.mask)
        return self.conv(x)


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(64, 64), nn.Linear(64, 64)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(torch.relu(self.a(x.flatten(2))))


class ComplexWeight(nn.Module):
    """Real in, real out, complex between."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 8, dtype=torch.complex64))

    def forward(self, x):
        return (x.to(torch.complex64) @ self.weight).real


class OneAtATime(nn.Module):
    """Cannot run a batch of two."""

    def forward(self, x):
        assert x.shape[0] == 1, "one at a time"
        return x.mean((2, 3))


def same_in_onnxruntime(model, folder):
    file = FORMATS["onnx"].load()(model, folder)
    runtime = OnnxRuntimeCpu()
    session = runtime.open(runtime.build(file, folder), 1)
    x = torch.randn(3, 3, 8, 8)
    with torch.no_grad():
        wanted = model.module(x)
    torch.testing.assert_close(torch.from_numpy(session.run({"x": x.numpy()})["output"]), wanted, rtol=1e-4, atol=1e-5)
    return file


@pytest.mark.parametrize("module", [MaskedInForward(False), Tied(), ComplexWeight()], ids=lambda m: type(m).__name__)
def test_what_looks_hostile_but_has_a_file_computes_the_same(wrap, tmp_path, module):
    same_in_onnxruntime(wrap(module), tmp_path)


def test_a_weight_that_two_layers_share_is_written_once(wrap, tmp_path):
    file = same_in_onnxruntime(wrap(Tied()), tmp_path)
    assert file.path.stat().st_size < 1.5 * 64 * 64 * 4


@pytest.mark.parametrize("format", ["onnx", "executorch"])
def test_a_mask_hidden_in_data_names_the_way_out(wrap, tmp_path, format):
    pytest.importorskip("executorch")
    refused(format, wrap(MaskedInForward(True)), tmp_path)
    if format == "onnx":
        with pytest.raises(ModelError, match=r"writes into a tensor through `\.data`"):
            FORMATS[format].load()(wrap(MaskedInForward(True)), tmp_path)


@pytest.mark.parametrize("format", ["onnx", "torchscript-trace", "torchscript-script"])
def test_a_model_that_cannot_run_two_at_once_is_refused(wrap, tmp_path, format):
    refused(format, wrap(OneAtATime()), tmp_path)


def test_dimensions_with_two_names_that_must_be_equal_are_refused(tmp_path):
    class Sum(nn.Module):
        def forward(self, x, y):
            return x + y

    specs = (TensorSpec("x", "float32", ("batch", "time")), TensorSpec("y", "float32", ("batch", "other")))
    model = TorchModel(Sum(), ModelRef(), Signature(specs, (TensorSpec("output", "float32", ("batch", "time")),)))
    with pytest.raises(ModelError, match="give equal dimensions one name"):
        FORMATS["onnx"].load()(model, tmp_path)
    one = tuple(replace(s, shape=("batch", "time")) for s in specs)
    FORMATS["onnx"].load()(replace(model, signature=Signature(one, model.signature.outputs)), tmp_path)
