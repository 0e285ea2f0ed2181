"""The runtime's own int8 file is measured beside ours, with the interval shown, and never ships."""

import re

import pytest

from artifacts.errors import RecipeError
from artifacts.records.evidence import read_evidence
from tightship.planning.artifacts import plan_artifacts
from tightship.recipe.recipe import parse_recipe

RECIPE = """
name: beside-stock
model: {zoo: resnet, depth: 8, width: 16, shortcut: A}
data: {zoo: digits}
train: {epochs: 3, learning_rate: 0.1, samples: 512}
compress:
  - quantize: {calibration_samples: 32}
targets:
  - {name: onnxruntime-cpu, precisions: [int8], stock: true}
gates: {accuracy_drop: 0.1, stock_latency: 1000000}
measure: {processes: 2, blocks: 1, block_seconds: 0.05}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory, cli):
    folder = tmp_path_factory.mktemp("stock")
    (folder / "recipe.yaml").write_text(RECIPE)
    done = cli("run", folder / "recipe.yaml", "--store", folder / "store", "--out", folder / "out")
    assert done.returncode == 0, done.stderr
    return folder / "out", done.stdout


@pytest.mark.slow
def test_it_is_a_yardstick(ran):
    evidence = read_evidence(ran[0] / "evidence.json")
    stock, ours = evidence.artifact("onnxruntime-cpu/int8-stock"), evidence.artifact("onnxruntime-cpu/int8-ptq")
    assert (stock.role, stock.verdict, stock.gates, stock.versus_stock) == ("stock", "reference", (), None)
    assert any("quantize_static" in note for note in stock.notes)
    assert stock.accuracy.deployed > 0.5
    assert evidence.verdict.shipped == ("onnxruntime-cpu/int8-ptq",)
    assert ours.versus_stock.baseline == stock.id
    low, high = ours.versus_stock.ci95
    assert low <= ours.versus_stock.ratio <= high
    gate = next(g for g in ours.gates if g.name == "stock_latency")
    assert gate.value == pytest.approx(1 / low)


@pytest.mark.slow
@pytest.mark.parametrize("view", ["terminal", "summary.md", "report.html"])
def test_every_view_shows_the_share_and_its_interval(ran, view):
    text = ran[1] if view == "terminal" else (ran[0] / view).read_text()
    assert re.search(r"\d\.\d+ .{0,8}\d.{0,24} of the latency of onnxruntime-cpu/int8-stock", text)


def recipe(target, tmp_path, compress=({"quantize": {}},)):
    value = {"name": "x", "model": {"zoo": "resnet"}, "data": {"zoo": "digits"}, "compress": list(compress)}
    return parse_recipe({**value, "targets": [{"name": target, "stock": True}], "gates": {"accuracy_drop": 0.1}}, tmp_path)


@pytest.mark.parametrize(("target", "compress"), [("torchscript-cpu", [{"quantize": {}}]), ("onnxruntime-cpu", [])])
def test_a_target_or_a_recipe_without_one_says_so(target, compress, tmp_path):
    with pytest.raises(RecipeError, match="asks for a stock int8 file"):
        plan_artifacts(recipe(target, tmp_path, compress), "reference", None)


def test_a_gate_without_a_yardstick_fails(artifact):
    from tightship.gating.evaluate import evaluate

    (record,) = evaluate(artifact(), artifact(), {"stock_latency": 1.0})
    assert not record.passed
    assert "was not measured" in record.reason
