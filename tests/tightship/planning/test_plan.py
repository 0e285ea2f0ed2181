"""Keys tell two computations apart, and nothing else; planning runs nothing."""

import json
from pathlib import Path

import pytest

from runtimes.registry import TARGETS
from tightship.pipeline.availability import installed
from tightship.planning import plan as planning
from tightship.planning.plan import make_plan
from tightship.planning.stage_order import check_chain
from tightship.recipe.recipe import load_recipe
from tightship.store import Store

ROOT = Path(__file__).resolve().parents[3]
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
BASE = {
    "name": "plan",
    "seed": "0",
    "model": "{zoo: resnet, depth: 8, width: 8}",
    "data": "{zoo: digits}",
    "train": "{epochs: 1}",
    "compress": "[{prune: {macs: 0.7}}, {quantize: {qat_epochs: 1}}]",
    "targets": "[onnxruntime-cpu]",
    "gates": "{accuracy_drop: 1}",
}


@pytest.fixture
def keys(recipe_from):
    """The keys of a recipe with some lines changed, by step."""

    def make(machine="a machine", **changes):
        recipe = recipe_from("".join(f"{k}: {v}\n" for k, v in {**BASE, **changes}.items()))
        return dict(make_plan(recipe, machine).keys)

    return make


def changed(before, after):
    return {step for step in before if before[step] != after.get(step)}


def test_the_same_recipe_has_the_same_keys(keys):
    assert keys() == keys()
    assert all(len(key) == 64 for key in keys().values())
    assert len(set(keys().values())) == len(keys())


@pytest.mark.parametrize("change", [{"name": "other"}, {"gates": "{accuracy_drop: 0.5, speedup: 2}"}])
def test_a_name_or_a_limit_changes_no_key(keys, change):
    assert keys() == keys(**change)


def test_the_seed_changes_every_key_but_that_of_the_data(keys):
    assert changed(keys(), keys(seed="1")) == set(keys()) - {"data"}


def test_the_data_change_every_key(keys, tmp_path):
    import numpy as np

    parts = {
        "x_train": np.zeros((4, 1, 8, 8), np.uint8),
        "y_train": np.arange(4),
        "x_test": np.zeros((2, 1, 8, 8), np.uint8),
        "y_test": np.arange(2),
    }
    np.savez(tmp_path / "a.npz", **parts)
    before = keys(data="{npz: a.npz}")
    assert changed(keys(), before) == set(before)
    np.savez(tmp_path / "a.npz", **{**parts, "y_test": np.asarray([1, 0])})
    assert changed(before, keys(data="{npz: a.npz}")) == set(before)


def test_a_changed_stage_changes_what_follows_and_nothing_before(keys):
    found = changed(keys(), keys(compress="[{prune: {macs: 0.6}}, {quantize: {qat_epochs: 1}}]"))
    assert "prune" in found
    assert {"quantize", "export onnxruntime-cpu/fp32", "check onnxruntime-cpu/int8-qat", "measure"} <= found
    assert not found & {"data", "reference", "export torch-cpu/reference", "check torch-cpu/reference"}


def test_a_changed_calibration_leaves_the_float_file_alone(keys):
    found = changed(keys(), keys(compress="[{prune: {macs: 0.7}}, {quantize: {qat_epochs: 1, calibration_samples: 9}}]"))
    assert "export onnxruntime-cpu/int8-ptq" in found
    assert not found & {"prune", "export onnxruntime-cpu/fp32", "check onnxruntime-cpu/fp32"}


def test_another_machine_or_plan_of_measuring_changes_only_the_measurements(keys):
    assert changed(keys(), keys(machine="another")) == {"measure"}
    assert changed(keys(), keys(measure="{processes: 9}")) == {"measure"}


def test_a_changed_library_or_line_of_code_changes_the_keys_that_use_it(keys, monkeypatch):
    before = keys()
    real = planning.versions
    monkeypatch.setattr(
        planning, "versions", lambda names: {**real(names), **({"onnxruntime": "0"} if "onnxruntime" in names else {})}
    )
    found = changed(before, keys())
    assert "check onnxruntime-cpu/fp32" in found
    assert not found & {"data", "reference", "prune"}
    monkeypatch.setattr(planning, "versions", real)
    monkeypatch.setattr(planning, "code_digest", lambda packages: "new" if "runtimes" in packages else "old")
    first = keys()
    monkeypatch.setattr(planning, "code_digest", lambda packages: "newer" if "runtimes" in packages else "old")
    assert changed(first, keys()) == {s for s in first if s.startswith("check") or s == "measure"}


def test_the_bytes_of_the_weights_and_the_source_of_a_factory_change_the_keys(keys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.pt").write_bytes(b"one")
    (tmp_path / "ournets.py").write_text("def build(): ...\n")
    model = "{factory: 'ournets:build', weights: weights.pt}"
    before = keys(model=model)
    assert keys(model=model) == before
    (tmp_path / "weights.pt").write_bytes(b"two")
    heavier = keys(model=model)
    assert changed(before, heavier) == set(before) - {"data"}
    (tmp_path / "ournets.py").write_text("def build(): return 1\n")
    assert changed(heavier, keys(model=model)) == set(before) - {"data"}


def test_planning_runs_nothing_and_makes_no_store(cli, tmp_path, tiny_recipe):
    (tmp_path / "recipe.yaml").write_text(tiny_recipe)
    done = cli("plan", "recipe.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)["steps"]
    assert [s["step"] for s in steps][:4] == ["data", "reference", "prune", "quantize"]
    assert not any(s["cached"] for s in steps)
    assert [p.name for p in tmp_path.iterdir()] == ["recipe.yaml"]


def test_a_finished_run_is_planned_as_cached(cli, tiny_run):
    done = cli("plan", tiny_run.recipe, "--store", tiny_run.store, "--json")
    assert all(s["cached"] for s in json.loads(done.stdout)["steps"])
    text = cli("plan", tiny_run.recipe, "--store", tiny_run.store).stdout
    assert "to run" not in text
    assert "15 of 15 steps are cached" in text


@pytest.fixture
def missing():
    """The name of a target that cannot run here, as far as that is known without asking it."""
    return next(target.name for target in TARGETS.values() if not installed(target).available)


def test_a_missing_target_is_a_row_of_the_plan_and_its_exit_code_is_that_of_a_run(cli, tmp_path, tiny_recipe, missing):
    whole = "targets: [torch-cpu, onnxruntime-cpu]"
    codes, text = {}, {}
    for name, row in (("must", f"{{name: {missing}, label: b}}"), ("may", f"{{name: {missing}, optional: true}}"), ("no", "")):
        (tmp_path / f"{name}.yaml").write_text(tiny_recipe.replace(whole, f"{whole[:-1]}{', ' * bool(row)}{row}]"))
        done = cli("plan", f"{name}.yaml", "--json", cwd=tmp_path)
        codes[name], text[name] = done.returncode, json.loads(done.stdout)
    assert codes == {"must": 3, "may": 0, "no": 0}
    assert {name: list(found["missing"]) for name, found in text.items()} == {"must": [f"{missing}@b"], "may": [], "no": []}
    assert "optional: true" in text["must"]["missing"][f"{missing}@b"]
    assert text["must"]["steps"] == text["no"]["steps"], "the rest is planned, and measured without it"
    assert (text["must"]["not_run"], text["may"]["not_run"]) == ([], [missing])
    assert f"will be missing: {missing}@b: " in cli("plan", "must.yaml", cwd=tmp_path).stdout
    # what a run refuses before any work, a plan refuses too
    alone = cli("plan", "must.yaml", "--target", "b", cwd=tmp_path)
    assert (alone.returncode, alone.stdout) == (3, "")
    assert f"target {missing!r} cannot run here" in alone.stderr


def needs_data(path):
    return "TIGHTSHIP_DATA" in path.read_text() or not any(f"zoo: {own}" in path.read_text() for own in ("digits",))


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, id=str(p.relative_to(ROOT)), marks=[pytest.mark.data] if needs_data(p) else []) for p in RECIPES],
)
def test_every_recipe_of_the_house_loads_and_plans(path, tmp_path):
    recipe = load_recipe(path)
    check_chain(recipe)
    made = make_plan(recipe, "a machine")
    assert str(made.artifacts[0].id) == "torch-cpu/reference"
    assert {a.target for a in made.artifacts} == {t.name for t in recipe.targets} | {"torch-cpu"}
    assert not any(made.cached(Store(tmp_path)).values())


def test_there_are_recipes_and_each_bears_its_file_name():
    assert RECIPES
    for path in RECIPES:
        assert f"name: {path.stem}\n" in path.read_text(), path
