"""Teachers in a recipe: which steps they become, what changes their keys, and that every kind of them teaches."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from artifacts.errors import ModelError, RecipeError
from compress import checkpoint
from tightship.pipeline.execute import execute
from tightship.pipeline.progress import Quiet
from tightship.planning.plan import make_plan
from tightship.planning.stage_order import check_chain
from tightship.store import Store

TEXT = """\
name: taught
model: {zoo: resnet, depth: 8, width: 8}
data: {zoo: digits}
train: {epochs: 1, samples: 200}
compress:
  - distil: {epochs: 1, samples: 200, %s}
targets: [torch-cpu]
gates: {accuracy_drop: 1}
"""
SMALL = "{zoo: resnet, depth: 8, width: 16}"
OTHER = "{zoo: resnet, depth: 8, width: 4, weight: 3}"


@pytest.fixture
def teacher_file(tmp_path):
    """A network of the digits as ONNX, beside the recipe."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    torch.onnx.export(module, (torch.zeros(2, 1, 8, 8),), tmp_path / "teacher.onnx", input_names=["image"],
                      dynamic_axes={"image": {0: "batch"}}, dynamo=False)  # fmt: skip
    return tmp_path / "teacher.onnx"


@pytest.fixture
def trained(recipe_from, tmp_path):
    """Runs a recipe as far as its distillation; the plan's steps so far, and the entry of the last."""

    def run(options):
        plan = make_plan(recipe_from(TEXT % options), "a machine")
        names = [step.name for step in plan.steps]
        short = replace(plan, steps=plan.steps[: names.index("distil") + 1])
        entries = execute(short, Store(tmp_path / "store"), Quiet())
        return names, entries["distil"]

    return run


def test_several_teachers_become_steps_and_the_first_is_the_reference(trained):
    names, entry = trained(f"teachers: [{SMALL}, {OTHER}]")
    assert names[:4] == ["data", "reference", "teacher-2", "distil"]
    assert "2 teachers" in entry.result.summary
    assert checkpoint.load(entry.folder).ref.options["width"] == 8


def test_layers_are_taught_and_leave_nothing_in_the_stored_network(trained):
    _, entry = trained(f"teacher: {SMALL}, method: features, layers: {{layer3: layer3}}")
    assert "features of 1 layers" in entry.result.summary
    assert not [name for name in checkpoint.load(entry.folder).module.state_dict() if "adapter" in name]


def test_a_file_teaches_a_model_that_stays_its_own_reference(trained, teacher_file):
    names, _ = trained("teacher: {file: teacher.onnx}")
    assert names[:3] == ["data", "reference", "distil"]


def test_a_file_and_a_network_teach_together(trained, teacher_file):
    _, entry = trained(f"teachers: [{{file: teacher.onnx, weight: 2}}, {SMALL}]")
    assert "2 teachers" in entry.result.summary


def test_the_bytes_of_a_teacher_and_its_weight_change_the_key_of_the_distillation_alone(recipe_from, teacher_file):
    def keys(weight):
        return dict(make_plan(recipe_from(TEXT % f"teachers: [{{file: teacher.onnx, weight: {weight}}}, {SMALL}]"), "m").keys)

    before = keys(1)
    heavier = keys(2)
    teacher_file.write_bytes(b"others")
    changed = keys(1)
    for now in (heavier, changed):
        assert now["distil"] != before["distil"]
        assert now["reference"] == before["reference"]


def test_the_original_teaches_beside_another_and_stays_the_reference(trained):
    names, entry = trained(f"teachers: [{{original: true}}, {SMALL}], method: attention, layers: {{layer3: layer3}}")
    assert names[:4] == ["data", "reference", "distil-teacher-1", "distil"]
    assert "attention of 1 layers, 2 teachers" in entry.result.summary
    assert checkpoint.load(entry.folder).ref.options["width"] == 8


def test_a_second_distillation_objective_goes_on_from_the_first(recipe_from):
    text = TEXT % f"teachers: [{{original: true}}, {SMALL}]"
    distillation_objective = next(line for line in text.splitlines() if line.startswith("  - distil"))
    recipe = recipe_from(
        text.replace(distillation_objective, f"{distillation_objective}\n  - distil: {{epochs: 1, learning_rate: 0.01}}")
    )
    check_chain(recipe)
    steps = {step.name: step for step in make_plan(recipe, "m").steps}
    assert steps["distil-2"].needs["source"] == "distil"
    assert steps["distil-2"].needs["teacher-1"] == "reference", "the model as it came in teaches by default"


@pytest.mark.parametrize("teachers", ["{file: teacher.onnx}", f"{{original: true}}, {SMALL}", SMALL])
def test_any_teacher_may_teach_after_pruning(recipe_from, teacher_file, teachers):
    text = TEXT.replace("  - distil", "  - prune: {macs: 0.5}\n  - distil") % f"teachers: [{teachers}]"
    recipe = recipe_from(text)
    check_chain(recipe)
    steps = {step.name: step for step in make_plan(recipe, "m").steps}
    assert steps["prune"].needs == {"data": "data", "source": "reference"}
    assert steps["distil"].needs["source"] == "prune"
    assert ("distil-teacher-1" in steps) == (SMALL in teachers)


@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        ("teacher: {file: teachr.onnx}", ModelError, r"teachr\.onnx; did you mean 'teacher\.onnx'"),
        ("teachers: [{file: teacher.onnx, zoo: resnet}]", RecipeError, r"distil\.teachers\[0\].*exactly one of"),
        ("teachers: [3]", RecipeError, r"distil\.teachers\[0\] must be a mapping"),
        ("method: featurs, layers: {layer3: layer3}", RecipeError, "featurs"),
        ("patience: 2", RecipeError, "set 'holdout' too"),
        ("teachrs: []", RecipeError, "did you mean 'teachers'"),
    ],
)
def test_wrong_teachers_are_refused_in_one_sentence(recipe_from, teacher_file, options, error, named):
    with pytest.raises(error, match=named) as caught:
        make_plan(recipe_from(TEXT % options), "m")
    assert "\n" not in str(caught.value)
