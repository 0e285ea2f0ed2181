"""A metric whose smaller values are better goes through run, guard, gates, report and comparison with the right sign."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from artifacts.records.evidence import read_evidence
from tightship.gating.evaluate_run import regate
from tightship.reporting.formatting import number
from tightship.reporting.plots.figures import front, tradeoff
from tightship.reporting.scores import against_reference

RECIPE = """
name: regression
model: {factory: "curve:net"}
data: {npz: curve.npz, metric: mse}
train: {epochs: 30, learning_rate: 0.05}
compress:
  - quantize: {calibration_samples: 64, max_drop: 0.05}
targets: [torch-cpu, onnxruntime-cpu]
gates: {error_max: 0.1, accuracy_drop: 0.05}
measure: {processes: 2, blocks: 1, block_seconds: 0.05}
"""
NET = """
from torch import nn

def net():
    return nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory, cli):
    folder = tmp_path_factory.mktemp("regression")
    x = np.random.default_rng(0).uniform(-1, 1, (768, 2)).astype(np.float32)
    y = np.sin(3 * x[:, :1]) + x[:, 1:]
    np.savez(folder / "curve.npz", x_train=x[:512], y_train=y[:512], x_test=x[512:], y_test=y[512:])
    (folder / "curve.py").write_text(NET)
    (folder / "recipe.yaml").write_text(RECIPE)
    done = cli("run", "recipe.yaml", "--store", "store", "--out", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "out", done.stdout


@pytest.mark.slow
def test_the_evidence_says_which_values_are_better(ran):
    evidence = read_evidence(ran[0] / "evidence.json")
    assert evidence.verdict.passed
    for record in evidence.artifacts:
        accuracy = record.accuracy
        assert (accuracy.metric, accuracy.direction, accuracy.unit) == ("mse", "smaller", "")
        assert 0 < accuracy.deployed < 0.1
    assert not (ran[0] / "selftest" / "onnxruntime-cpu" / "fp32" / "correct.npz").exists()


@pytest.mark.slow
def test_gates_and_guard_take_a_larger_error_for_a_loss(ran):
    evidence = read_evidence(ran[0] / "evidence.json")
    reference = evidence.artifact("torch-cpu/reference")
    made = evidence.artifact("onnxruntime-cpu/int8-guard")
    gates = {gate.name: gate.value for gate in made.gates}
    assert gates["error_max"] == made.accuracy.deployed
    assert gates["accuracy_drop"] == made.accuracy.deployed - reference.accuracy.deployed
    assert gates["guard"] == made.accuracy.deployed - made.guard.float_test
    tried = next(c for c in made.guard.candidates if c.chosen)
    assert tried.drop == pytest.approx(tried.metric - made.guard.reference)
    assert tried.error > 0
    # what is asked of the run again: a tenth of the error it has cannot be met
    (failed,) = [
        gate for _, gate in regate(ran[0], [f"error_max={made.accuracy.deployed / 10}"], made.id) if gate.name != "parity"
    ]
    assert not failed.passed


@pytest.mark.slow
def test_every_view_shows_the_number_and_the_drop_with_its_sign(ran):
    evidence = read_evidence(ran[0] / "evidence.json")
    made = evidence.artifact("onnxruntime-cpu/int8-guard")
    summary, page = ((ran[0] / name).read_text().partition('id="figures"')[0] for name in ("summary.md", "report.html"))
    for text in (ran[1], summary, page):
        assert not re.search(r"\d points", text)
        assert number(made.accuracy.deployed, 4) in text
        assert number(made.accuracy.deployed - made.accuracy.reference) in text
    worse = replace(made.accuracy, deployed=made.accuracy.reference + 0.25)
    assert against_reference(worse) == f"0.250 above the reference ({number(worse.reference, 4)})"
    assert against_reference(replace(worse, deployed=0.0)).endswith(f"below the reference ({number(worse.reference, 4)})")
    stages = re.search(r'id="table-stages".*?</table>', page, re.S)[0]
    assert f">{number(made.accuracy.reference, 4)}</td>" in stages, "not a percentage"


@pytest.mark.slow
def test_the_front_and_the_axis_are_turned(ran):
    evidence = read_evidence(ran[0] / "evidence.json")
    errors = [a.accuracy.deployed for a in front(evidence.artifacts)]
    assert errors == sorted(errors, reverse=True), "the slower one must be the better one"
    low, high = tradeoff(evidence)["layout"]["yaxis"]["range"]
    assert low > high, "up is better"
    assert " data-down" in (ran[0] / "report.html").read_text()


@pytest.mark.slow
def test_two_runs_are_not_held_by_a_test_of_right_and_wrong(ran, cli):
    done = cli("compare", ran[0], ran[0], "--json")
    assert done.returncode == 0, done.stderr
    found = [row["accuracy"] for row in json.loads(done.stdout)["artifacts"]]
    assert {(row["metric"], row["verdict"]) for row in found} == {("mse", None)}
