"""`channels_last`: tensors and weights lie (N, H, W, C), outputs are plain, and what cannot run so is told in a sentence."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.errors import ModelError, RequestError
from artifacts.specs import Signature, TensorSpec
from artifacts.types import ModelRef, TorchModel
from compress.training.memory_format import lay_out
from export.aotinductor.export import compiler_missing
from export.module import export
from export.torchscript.export import script, trace
from runtimes.registry import find
from runtimes.torch.memory_format import Caller, lay_out_program
from zoo.resnet import resnet

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
OPTIONS = {"depth": 8, "width": 8, "classes": 10, "channels": 3}
SIGNATURE = Signature((TensorSpec("image", "float32", ("batch", 3, 8, 8)),), (TensorSpec("output", "float32", ("batch", 10)),))
TARGETS = [("torch-cpu", export), ("torchscript-cpu", trace), ("torchscript-cpu", script), ("inductor-cpu", export)]
SLOW = [pytest.param(*row, marks=pytest.mark.slow) if row[0] == "inductor-cpu" else row for row in TARGETS]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return TorchModel(resnet(**OPTIONS).eval(), ModelRef("resnet", options=OPTIONS), SIGNATURE)


def opened(target, write, model, folder, **options):
    folder.mkdir(exist_ok=True)
    runtime = find(target).runtime()
    return runtime.open(replace(runtime.build(write(model, folder), folder), options=options), 1)


@pytest.mark.parametrize(("target", "write"), SLOW)
def test_outputs_are_those_of_the_plain_layout(model, tmp_path, target, write):
    if target == "inductor-cpu" and (missing := compiler_missing()):
        pytest.skip(missing)
    session = opened(target, write, model, tmp_path / "x", channels_last=True)
    for batch in (1, 2, 5):
        x = torch.randn(batch, 3, 8, 8)
        with torch.no_grad():
            np.testing.assert_allclose(session.run({"image": x.numpy()})["output"], model.module(x), rtol=1e-3, atol=1e-4)


class Seen(nn.Module):
    """Gives its input back, and remembers how it lay."""

    def forward(self, x, y):
        self.laid = (x.is_contiguous(memory_format=torch.channels_last), y.stride())
        return {"x": x, "y": y}


def test_what_has_four_dimensions_goes_in_laid_out_and_comes_out_plain():
    seen, given = Seen(), {"x": np.ones((2, 3, 4, 5), np.float32), "y": np.ones((2, 3), np.float32)}
    made = Caller(seen, ("x", "y"), channels_last=True)(given)
    assert seen.laid == (True, (3, 1))
    assert made["x"].flags.c_contiguous
    Caller(seen, ("x", "y"))(given)
    assert seen.laid == (False, (3, 1))


def weights(program):
    constants = program.graph.findAllNodes("prim::Constant", True)
    values = [n.t("value") for n in constants if n.hasAttribute("value") and n.kindOf("value") == "t"]
    return [t for t in values if t.ndim == 4 and t.shape[1] > 1 and t.shape[2] > 1]


@pytest.mark.parametrize("write", [trace, script])
def test_the_weights_of_a_program_are_laid_out(model, tmp_path, write):
    program = torch.jit.load(str(write(model, tmp_path).path))
    assert not any(t.is_contiguous(memory_format=torch.channels_last) for t in weights(program))
    program = lay_out_program(program)
    assert len(weights(program)) == 7
    assert all(t.is_contiguous(memory_format=torch.channels_last) for t in weights(program))


def test_a_foreign_program_is_frozen_first(model):
    program = lay_out_program(torch.jit.script(model.module))
    assert not list(program.parameters())
    assert len(weights(program)) == 7


def test_the_weights_of_a_network_are_laid_out():
    module = lay_out(nn.Conv2d(3, 4, 3))
    assert module.weight.is_contiguous(memory_format=torch.channels_last)


class Views(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, image):
        y = self.conv(image)
        return y.view(y.shape[0], -1)


def test_a_view_of_an_image_is_refused_in_one_sentence(tmp_path):
    session = Caller(lay_out(Views().eval()), ("image",), channels_last=True)
    program = trace(TorchModel(Views().eval(), ModelRef(), SIGNATURE), tmp_path)
    runtime = find("torchscript-cpu").runtime()
    other = runtime.open(replace(runtime.build(program, tmp_path), options={"channels_last": True}), 1)
    for run in (session, other.run):
        with pytest.raises(ModelError, match="a `view` in it needs the plain layout: say `flatten` or") as caught:
            run({"image": np.zeros((2, 3, 8, 8), np.float32)})
        assert "\n" not in str(caught.value)


def test_only_targets_that_follow_it_take_the_option():
    for name in ("torch-cpu", "torchscript-cpu", "inductor-cpu"):
        assert find(name).read_options({"channels_last": True}).non_default() == {"channels_last": True}
    for name in ("torch-cuda", "aotinductor-cpu", "onnxruntime-cpu"):
        with pytest.raises(RequestError, match="no option 'channels_last'"):
            find(name).read_options({"channels_last": True})
