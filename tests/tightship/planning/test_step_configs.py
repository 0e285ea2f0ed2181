"""A step is told its config and nothing else, and every part of that config is part of its key."""

import dataclasses
import json
import typing
from pathlib import Path

import pytest
from pydantic import BaseModel

from artifacts.files import sha256_json
from tightship.pipeline.execute import STAGES
from tightship.pipeline.stages.job import Job
from tightship.planning import step_configs
from tightship.planning.plan import make_plan
from tightship.planning.step_configs import StepConfig
from tightship.planning.steps import Kind

TEXT = """
name: all-kinds
model: {zoo: resnet, depth: 14, width: 8}
data: {zoo: digits}
export: {dims: {batch: {max: 64}}, onnx: {sidecar: true}, torchscript: {script: [layer1]}}
compress:
  - distil: {teacher: {zoo: resnet, depth: 8}, epochs: 1}
  - prune: {latency: 0.7, target: onnxruntime-cpu}
  - factorize: {rank_share: 0.4}
  - palettize: {bits: 4}
  - quantize: {qat_epochs: 1}
targets: [onnxruntime-cpu, {name: onnxruntime-cpu, label: level, options: {graph_level: basic}}, torchscript-cpu]
gates: {accuracy_drop: 1}
measure: {sensitivity: true, loop: {feed: {image: output}}}
"""
GUARDED = """
name: guarded
model: {zoo: resnet}
data: {zoo: digits}
compress: [{quantize: {max_drop: 0.01}}]
targets: [onnxruntime-cpu, {name: coreml, optional: true}]
gates: {accuracy_drop: 1}
"""


@pytest.fixture
def steps(recipe_from, monkeypatch):
    """One step of every kind."""
    from tightship.planning import stage_order  # noqa: F401  the order is another test's matter

    coreml = frozenset(("coreml",))
    plans = (make_plan(recipe_from(TEXT), "m"), make_plan(recipe_from(GUARDED), "m", coreml, coreml))
    return {step.kind: step for plan in plans for step in plan.steps}


def leaves(value, path=()):
    """Every place in a JSON value that holds a plain one."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from leaves(one, (*path, name))
        if not value:
            yield path
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from leaves(one, (*path, at))
        if not value:
            yield path
    else:
        yield path


def other(value):
    """Another value than this one, whatever it is."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return {"another": 1} if value == {} else ["another"] if value == [] else f"{value}x"


def changed(value, path):
    """The JSON value with another value at this place."""
    made = json.loads(json.dumps(value))
    here = made
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = other(here[path[-1]])
    return made


def test_there_is_a_step_of_every_kind(steps):
    assert set(steps) == set(typing.get_args(Kind)) == set(STAGES)


@pytest.mark.parametrize("kind", typing.get_args(Kind))
def test_every_part_of_a_steps_config_is_part_of_its_key(steps, kind):
    config = steps[kind].config
    value = config.as_json()
    places = list(leaves(value))
    assert places
    assert config.digest() == sha256_json(value)
    assert len({config.digest(), *(sha256_json(changed(value, place)) for place in places)}) == len(places) + 1


@pytest.mark.parametrize("kind", typing.get_args(Kind))
def test_no_field_of_a_config_is_left_out_of_its_plain_form(steps, kind):
    def hold(config, value):
        assert set(value) == set(type(config).model_fields) | set(config.model_extra or {}), type(config).__name__
        for name, field in value.items():
            inner = getattr(config, name)
            if isinstance(inner, BaseModel):
                hold(inner, field)

    hold(steps[kind].config, steps[kind].config.as_json())


def test_a_job_holds_its_config_its_inputs_and_places_to_write_and_no_recipe():
    assert [field.name for field in dataclasses.fields(Job)] == [
        "config", "inputs", "out", "work", "memory", "task", "progress",
    ]  # fmt: skip


def test_no_stage_imports_the_recipe():
    root = Path(step_configs.__file__).resolve().parents[1] / "pipeline" / "stages"
    told = {path.name for path in root.glob("*.py") if "Recipe" in path.read_text() or "load_recipe" in path.read_text()}
    assert not told


def test_every_kind_of_step_takes_the_config_that_the_plan_gives_it(steps):
    for kind, stage in STAGES.items():
        (hint, *_) = typing.get_type_hints(stage.run).values()
        (wanted,) = typing.get_args(hint)
        assert issubclass(wanted, StepConfig)
        assert isinstance(steps[kind].config, wanted), kind


@pytest.mark.parametrize(
    ("said", "kinds"),
    [
        ("measure: {threads: 2}", {"prune", "check", "sensitivity", "measure"}),
        ("export: {dims: {batch: {max: 32}}}", {"export", "check", "sensitivity", "loop"}),
        ("seed: 7", set(STAGES) - {"data", "measure", "convert", "guard"}),
    ],
)
def test_what_the_recipe_says_reaches_the_steps_that_follow_it(recipe_from, said, kinds):
    """Their own configs change, and not only the keys of what they need."""
    name = said.partition(":")[0]
    plain = "\n".join(line for line in TEXT.splitlines() if not line.startswith(name))
    plain += "\nmeasure: {sensitivity: true}" if name == "measure" else ""
    said = said.replace("{threads", "{sensitivity: true, threads")
    before, after = (
        make_plan(recipe_from(text), "m")
        for text in (plain, f"{plain}\n{said}" if name != "measure" else plain.replace("measure: {sensitivity: true}", said))
    )
    moved = {b.kind for b, a in zip(before.steps, after.steps, strict=True) if b.config.digest() != a.config.digest()}
    assert moved == kinds
