"""Models that do not export well: each is handled rightly or refused in one sentence, never written wrong."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from artifacts.errors import ModelError
from export.registry import FORMATS
from runtimes.torchscript import TorchScriptCpu

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
    "nested outputs": lambda y: {"a": {"b": y}, "c": y},
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


@pytest.mark.parametrize("kind", ["nested outputs", "no tensor"])
def test_outputs_that_are_no_tensors_are_refused(wrap, tmp_path, kind):
    refused("torchscript-trace", wrap(Model(HOSTILE[kind]), outputs=("a", "c")), tmp_path)


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
