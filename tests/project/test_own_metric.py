"""The example with a metric and a criterion of its own is installed by pip, named by a recipe, and reaches gate and report."""

import json
import shutil
from pathlib import Path

import pytest

from artifacts.records.evidence import read_evidence

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "own-metric"
QUICK = {
    "epochs: 5,": "epochs: 2,",
    "finetune_epochs: 2": "finetune_epochs: 1",
    "accuracy_min: 0.9, accuracy_drop: 0.05": "accuracy_min: 0.3, accuracy_drop: 0.5",
    "blocks: 2, block_seconds: 0.05": "blocks: 1, block_seconds: 0.02",
}


@pytest.fixture(scope="module")
def programs(installed):
    """The programs of an environment in which pip installed the wheel of tightship and the example."""
    return installed(EXAMPLE)


@pytest.fixture(scope="module")
def own(programs, cli):
    """Runs the `tightship` of that environment; `path` is a folder whose packages come before those that are installed."""

    def call(*arguments, path="", **options):
        return cli(*arguments, programs=programs, PYTHONPATH=str(path), **options)

    return call


@pytest.fixture(scope="module")
def ran(own, tmp_path_factory):
    folder = tmp_path_factory.mktemp("own-metric")
    recipe = (EXAMPLE / "recipe.yaml").read_text()
    for said, quick in QUICK.items():
        assert said in recipe
        recipe = recipe.replace(said, quick)
    (folder / "recipe.yaml").write_text(recipe)
    done = own("run", "recipe.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_example_is_short():
    assert len((EXAMPLE / "own_metric.py").read_text().splitlines()) < 60
    readme = (EXAMPLE / "README.md").read_text()
    for command in ("pip install .", "tightship run recipe.yaml"):
        assert f"    {command}\n" in readme


@pytest.mark.slow
def test_the_metric_is_measured_gated_and_shown(ran):
    folder, printed = ran
    evidence = read_evidence(folder / "runs" / "own-metric" / "evidence.json")
    made = evidence.artifact("onnxruntime-cpu/fp32")
    assert (made.accuracy.metric, made.accuracy.unit, made.accuracy.direction) == ("balanced-accuracy", "share", "larger")
    assert {gate.name: gate.passed for gate in made.gates} == {"accuracy_min": True, "accuracy_drop": True}
    assert made.parity.argmax_agreement is not None, "a metric of classes has the places of the largest outputs compared"
    assert made.end_to_end is not None
    shown = f"{100 * made.accuracy.deployed:.2f} %"
    page = (folder / "runs" / "own-metric" / "report.html").read_text()
    assert shown in printed
    assert shown in page
    assert "deployed balanced-accuracy (up is better)" in page
    assert (folder / "runs" / "own-metric" / "selftest" / made.id / "correct.npz").is_file()


@pytest.mark.slow
def test_the_criterion_chose_what_left(ran):
    evidence = read_evidence(ran[0] / "runs" / "own-metric" / "evidence.json")
    (stage,) = (s for s in evidence.stages if s.name == "prune")
    assert "channels removed by geometric-median" in stage.summary


@pytest.mark.slow
def test_without_the_package_the_recipe_is_refused_in_one_sentence(cli, ran):
    done = cli("plan", "recipe.yaml", cwd=ran[0])
    assert done.returncode == 2
    assert "unknown metric 'balanced-accuracy'" in done.stderr


@pytest.mark.slow
def test_doctor_tells_who_brings_what(own):
    rows = {row["check"]: row for row in json.loads(own("doctor", "--json").stdout)}
    assert rows["metric balanced-accuracy"]["says"] == "of own-metric 1.0"
    assert rows["criterion geometric-median"]["ok"]


def keys(own, folder, path=""):
    rows = json.loads(own("plan", "recipe.yaml", "--json", cwd=folder, path=path).stdout)
    return {row["step"]: row["key"] for row in rows["steps"]}


@pytest.mark.slow
def test_a_change_of_the_package_changes_the_keys_and_one_that_breaks_is_a_row_in_doctor(
    own, ran, programs, packages, tmp_path
):
    before = keys(own, ran[0])
    other = tmp_path / "site"
    (info,) = packages(programs).glob("own_metric-*.dist-info")
    shutil.copytree(info, other / info.name)
    shutil.copyfile(packages(programs) / "own_metric.py", other / "own_metric.py")
    assert keys(own, ran[0], other) == before
    module = other / "own_metric.py"
    module.write_text(module.read_text().replace(".sum(dim=1)", ".mean(dim=1)"))
    assert keys(own, ran[0], other)["data"] != before["data"]
    module.write_text("raise RuntimeError('it is broken')\n")
    done = own("run", "recipe.yaml", cwd=ran[0], path=other)
    assert done.returncode == 2
    sentence = "own_metric:BALANCED_ACCURACY cannot be loaded (RuntimeError: it is broken)."
    assert f"metric 'balanced-accuracy' of own-metric 1.0 cannot be used: {sentence}" in done.stderr
    rows = {row["check"]: row for row in json.loads(own("doctor", "--json", path=other).stdout)}
    assert rows["plug-in balanced-accuracy"] == {
        "check": "plug-in balanced-accuracy", "ok": False, "says": f"own-metric 1.0: {sentence}", "core": False,
    }  # fmt: skip
