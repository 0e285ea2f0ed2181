"""Hybrid programs: traced, with modules compiled within, so that a branch on data survives there and nowhere else."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from artifacts.errors import ModelError, RecipeError
from compress.configs import QuantizeConfig
from compress.quantizers import QUANTIZERS, Calibration
from export.torchscript.export import script, trace
from export.torchscript.lite import write_lite
from export.torchscript.lite_file import load
from tightship.planning.export_options import check_scripted
from tightship.planning.plan import make_plan
from zoo.splits import ArraySplit

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")


class Gate(nn.Module):
    """Another function of inputs that are negative on the whole; a trace keeps the one that it met."""

    def forward(self, x):
        if bool(x.mean() < 0):
            return x * 0.1
        return x


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(Gate(), nn.ReLU()))
        self.head = nn.Linear(4, 5)

    def forward(self, *inputs):
        # no code that TorchScript compiles: `script` refuses the whole, so only a hybrid holds it
        return self.head(self.body(inputs[0]).mean((2, 3)))


@pytest.fixture
def model(wrap):
    torch.manual_seed(0)
    made = wrap(Gated())
    with torch.no_grad():  # the sign of the inputs must decide what the gate sees
        made.module.body[0].weight.abs_()
        made.module.body[0].bias.zero_()
    return made


def test_plain_tracing_bakes_the_branch_in_and_is_refused_with_the_way_out(model, tmp_path):
    with pytest.raises(ModelError, match=r"computes another 'output' .* or name the modules .* export\.torchscript\.script"):
        trace(model, tmp_path)
    with pytest.raises(ModelError, match="TorchScript cannot script the model"):
        script(model, tmp_path)


@pytest.mark.parametrize("name", ["body.1.0", "body.1"])
def test_a_hybrid_program_keeps_the_branch(model, tmp_path, name):
    file = trace(replace(model, scripted=(name,)), tmp_path)
    assert f"hybrid: traced, with {name} scripted" in file.notes
    program = torch.jit.load(str(file.path))
    assert program.graph.findNode("prim::If", True) is not None
    for sign in (1, -1):
        for batch in (1, 3):
            x = sign * torch.rand(batch, 3, 8, 8)
            with torch.no_grad():
                torch.testing.assert_close(program(x), model.module(x), rtol=1e-4, atol=1e-5)
    assert not isinstance(model.module.body[1], torch.jit.ScriptModule), "the network itself stays as it is"


def test_a_hybrid_program_is_repeatable_and_runs_in_the_lite_interpreter(model, tmp_path):
    hybrid, made = replace(model, scripted=("body.1.0",)), []
    for folder in (tmp_path / "a", tmp_path / "b"):
        (folder / "lite").mkdir(parents=True)
        made.append(write_lite(trace(hybrid, folder), folder / "lite").path)
    assert made[0].read_bytes() == made[1].read_bytes()
    x = -torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(load(made[0])(x), model.module(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("scheme", "quantizer"), [("int8", "fx-int8"), ("int8-dynamic", "fx-dynamic"), ("bf16", "torch-half")])
def test_what_is_compiled_within_stays_whole_when_the_rest_is_quantized(model, tmp_path, scheme, quantizer):
    hybrid = replace(model, scripted=("body.1.0",))
    # mostly positive, so that the gate lets calibration see the whole range
    x = torch.where(torch.arange(64) % 4 > 0, 1, -1)[:, None, None, None] * torch.rand(64, 3, 8, 8)
    split = ArraySplit({"x": x.numpy()}, torch.zeros(64, dtype=torch.int64).numpy())
    config = QuantizeConfig(scheme=scheme, calibration_samples=64)
    made = QUANTIZERS[quantizer].load()(Calibration(split, config, 0, hybrid))
    program = torch.jit.load(str(trace(replace(hybrid, module=made), tmp_path).path))
    assert ("quantized::" in str(program.inlined_graph)) == scheme.startswith("int8")
    for sign in (1, -1):
        x = sign * torch.rand(8, 3, 8, 8)
        with torch.no_grad():
            wanted = model.module(x)
            torch.testing.assert_close(program(x), wanted, rtol=0, atol=0.2 * float(wanted.abs().max()))


def test_a_module_that_is_not_there_is_refused_with_the_nearest(model, tmp_path):
    with pytest.raises(ModelError, match=r"names 'body\.1\.00', which the network does not have; .*'body\.1\.0'") as caught:
        trace(replace(model, scripted=("body.1.00",)), tmp_path)
    assert "\n" not in str(caught.value)


RECIPE = "name: a\nmodel: {zoo: resnet, depth: 8, width: 8}\ndata: {zoo: digits}\ngates: {accuracy_drop: 1}\n"
TARGETS = "targets: [torchscript-cpu, onnxruntime-cpu]\n"


def test_the_recipe_names_them_and_only_traced_programs_are_made_anew(tmp_path):
    from tightship.recipe.recipe import load_recipe

    def recipe(said=""):
        (tmp_path / "r.yaml").write_text(f"{RECIPE}{TARGETS}{said}")
        return load_recipe(tmp_path / "r.yaml")

    plain, said = recipe(), recipe("export: {torchscript: {script: [layer1.0]}}\n")
    keys, other = make_plan(plain, "a machine").keys, make_plan(said, "a machine").keys
    traced = {"export torchscript-cpu/fp32", "check torchscript-cpu/fp32", "measure"}
    assert {name for name in keys if keys[name] != other[name]} == traced
    check_scripted(said)
    with pytest.raises(ModelError, match="names 'layer9', which the network does not have"):
        check_scripted(recipe("export: {torchscript: {script: [layer9]}}\n"))
    with pytest.raises(RecipeError, match="'layer1/0' is no module's name"):
        recipe("export: {torchscript: {script: [layer1/0]}}\n")
