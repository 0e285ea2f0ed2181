"""`--target` cuts a run down to some rows of its recipe, and nothing that comes of it speaks for the whole recipe."""

import json
import shutil
from dataclasses import replace

import pytest

from artifacts.errors import RequestError, TargetUnavailable
from artifacts.records.evidence import read_evidence
from benchmarks.machine import describe
from runtimes.probe import missing_library
from runtimes.registry import find
from tightship.pipeline.availability import unavailable
from tightship.pipeline.execute import execute
from tightship.pipeline.progress import Quiet
from tightship.planning.plan import make_plan
from tightship.planning.target_selection import NOT_SELECTED, row_name, select_targets
from tightship.reporting.formatting import headline
from tightship.reporting.views import html, markdown
from tightship.store import Store

RECIPE = """
name: several
model: {{zoo: resnet, depth: 8, width: 8}}
data: {{zoo: digits}}
compress: [{{{stage}}}]
targets:
  - torchscript-cpu
  - onnxruntime-cpu
  - {{name: onnxruntime-cpu, label: basic, options: {{graph_level: basic}}}}
  - {{name: openvino-cpu, label: fast, optional: true}}
gates: {{accuracy_drop: 1.0}}
"""


@pytest.fixture
def recipe(recipe_from):
    return recipe_from(RECIPE.format(stage="quantize: {scheme: int8}"))


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (["torchscript-cpu"], ["torchscript-cpu"]),
        (["onnxruntime-cpu"], ["onnxruntime-cpu", "onnxruntime-cpu@basic"]),
        (["onnxruntime-cpu@basic"], ["onnxruntime-cpu@basic"]),
        (["basic"], ["onnxruntime-cpu@basic"]),
        (["fast", "torchscript-cpu", "fast"], ["torchscript-cpu", "openvino-cpu@fast"]),
    ],
)
def test_a_target_a_label_or_both_name_rows_in_the_order_of_the_recipe(recipe, names, rows):
    selection = select_targets(recipe, names)
    assert [row_name(row) for row in selection.rows] == list(selection.names) == rows
    assert {row_name(row) for row in (*selection.rows, *selection.left_out)} == {row_name(row) for row in recipe.targets}


def test_all_rows_are_the_whole_recipe_however_they_are_named(recipe):
    for names in ([], [row_name(row) for row in recipe.targets], ["torchscript-cpu", "onnxruntime-cpu", "openvino-cpu"]):
        assert (select_targets(recipe, names).rows, select_targets(recipe, names).names) == (recipe.targets, ())


def test_an_unknown_name_is_refused_with_those_of_the_recipe(recipe):
    with pytest.raises(RequestError, match=r"has no target 'ncnn-cpu'; it has torchscript-cpu, .*openvino-cpu@fast") as caught:
        select_targets(recipe, ["torchscript-cpu", "ncnn-cpu"])
    assert "\n" not in str(caught.value)


def test_the_plan_holds_their_files_and_shares_every_key_but_that_of_the_measurement(recipe):
    whole, part = make_plan(recipe, "m"), make_plan(recipe, "m", selection=select_targets(recipe, ["basic"]))
    assert [str(a.id) for a in part.artifacts] == [
        "torch-cpu/reference", "onnxruntime-cpu/fp32@basic", "onnxruntime-cpu/int8-ptq@basic",
    ]  # fmt: skip
    assert part.recipe == whole.recipe, "the evidence holds the recipe as it was written"
    assert {name for name in part.keys if part.keys[name] != whole.keys[name]} == {"measure"}


def test_evidence_that_was_cut_down_says_so_in_every_view(recipe, evidence_of, artifact):
    made = evidence_of(artifact("torch-cpu/reference"), artifact("onnxruntime-cpu/fp32@basic", verdict="ship"))
    assert select_targets(recipe).mark(made) == made
    marked = select_targets(recipe, ["basic"]).mark(made)
    assert marked.asked_for == ("onnxruntime-cpu@basic",)
    assert [n.target for n in marked.not_run] == ["torchscript-cpu", "onnxruntime-cpu", "openvino-cpu@fast"]
    assert {n.reason for n in marked.not_run} == {NOT_SELECTED}
    assert headline(marked) == "Ship onnxruntime-cpu/fp32@basic (only 1 target of the recipe asked for)"
    for text in (html.render(marked), markdown.summary(marked).replace("\\", "")):
        assert "does not speak for the whole recipe" in text
        assert "only 1 target of the recipe asked for" in text
    assert "asked for" not in headline(replace(marked, asked_for=()))


@pytest.fixture
def gpu_only():
    """A target that cannot run here."""
    if missing_library(find("tensorrt")) is None:
        pytest.skip("TensorRT is installed here")
    return "tensorrt"


def test_a_target_with_several_rows_is_missing_once(recipe_from, gpu_only, tmp_path):
    text = RECIPE.replace("name: onnxruntime-cpu, label: basic, options: {{graph_level: basic}}", f"name: {gpu_only}, label: a")
    text = text.replace("name: openvino-cpu, label: fast", f"name: {gpu_only}, label: b").format(
        stage="quantize: {scheme: int8}"
    )
    recipe = recipe_from(text.replace("label: a", "label: a, optional: true"))
    machine, store = describe(), Store(tmp_path)
    assert [n.target for n in unavailable(recipe, select_targets(recipe, ["onnxruntime-cpu", gpu_only]), store, machine)] == [
        gpu_only
    ]
    assert unavailable(recipe, select_targets(recipe, ["onnxruntime-cpu"]), store, machine) == (), (
        "what is not asked for is not probed"
    )
    with pytest.raises(TargetUnavailable, match=f"none of the targets asked for can run here: {gpu_only}: "):
        unavailable(recipe, select_targets(recipe, ["b"]), store, machine)
    strict = recipe_from(text)
    with pytest.raises(TargetUnavailable, match="optional: true"):
        unavailable(strict, select_targets(strict, ["a", "b"]), store, machine)


def test_a_chain_that_measures_on_a_target_needs_it_whoever_is_asked_for(recipe_from, gpu_only, tmp_path):
    text = RECIPE.replace("name: openvino-cpu, label: fast", f"name: {gpu_only}")
    recipe = recipe_from(text.format(stage=f"prune: {{latency: 0.5, target: {gpu_only}}}"))
    with pytest.raises(TargetUnavailable, match=f"the chain measures on {gpu_only!r}"):
        unavailable(recipe, select_targets(recipe, ["onnxruntime-cpu"]), Store(tmp_path), describe())


def test_two_steps_that_do_the_same_work_share_what_the_store_holds(recipe_from, tmp_path):
    text = RECIPE.replace("torchscript-cpu", "torch-cpu").format(stage="quantize: {scheme: int8}")
    recipe = recipe_from(text + "train: {epochs: 1, samples: 64}\n")
    plan = make_plan(recipe, "m", selection=select_targets(recipe, ["torch-cpu"]))
    assert plan.keys["check torch-cpu/reference"] == plan.keys["check torch-cpu/fp32"]
    part = replace(plan, steps=tuple(step for step in plan.steps if step.kind != "measure"))
    entries = execute(part, Store(tmp_path / "store"), Quiet())
    assert entries["check torch-cpu/fp32"].cached
    assert all(entry.cached for entry in execute(part, Store(tmp_path / "store"), Quiet()).values())
    assert not (tmp_path / "store" / "corrupt").exists()


@pytest.mark.slow
def test_the_verbs_run_and_plan_a_part(cli, tiny_run, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(tiny_run.store, store)
    only = ("--store", store, "--target", "onnxruntime-cpu")
    planned = cli("plan", tiny_run.recipe, *only)
    assert planned.returncode == 0, planned.stderr
    assert "not asked for: torch-cpu" in planned.stdout
    assert json.loads(cli("plan", tiny_run.recipe, *only, "--json").stdout)["not_asked"] == ["torch-cpu"]
    done = cli("run", tiny_run.recipe, *only, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "does not speak for the whole recipe: of its 2 targets these were asked for: onnxruntime-cpu" in done.stdout
    evidence, whole = (read_evidence(f / "evidence.json") for f in (tmp_path / "runs" / "tiny@onnxruntime-cpu", tiny_run.out))
    assert evidence.asked_for == ("onnxruntime-cpu",)
    assert "--target onnxruntime-cpu" in evidence.command
    assert (evidence.recipe_sha256, evidence.recipe) == (whole.recipe_sha256, whole.recipe)
    assert {a.id for a in whole.artifacts} - {a.id for a in evidence.artifacts} == {"torch-cpu/fp32"}
    assert {s.name for s in evidence.stages if not s.cached} == {"measure"}
    for verb in ("run", "plan"):
        refused = cli(verb, tiny_run.recipe, "--store", store, "--target", "x", cwd=tmp_path)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert "it has torch-cpu, onnxruntime-cpu" in refused.stderr
