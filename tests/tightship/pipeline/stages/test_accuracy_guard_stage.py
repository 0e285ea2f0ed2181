"""The accuracy guard as a step of a run: what decides, what is kept, and what it says when nothing holds."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from artifacts.errors import ModelError
from artifacts.files import write_json
from artifacts.records.accuracy_guard import CandidateRecord, GuardRecord, LayerRecord
from artifacts.records.evidence import AccuracyRecord, read_evidence
from compress.training.loop import subset
from tightship.gating.evaluate import guard_gate
from tightship.gating.verdict import decide
from tightship.pipeline.stages.int8_trials import held_out
from tightship.planning.plan import make_plan
from tightship.reporting.views.html import render
from tightship.reporting.views.markdown import summary
from tightship.reporting.views.terminal import print_table
from zoo.splits import ArraySplit

RECIPE = """
name: guarded
model: {zoo: mobilenet, width: 4, activation: relu, channel_spread: 1000}
data: {zoo: digits}
train: {epochs: 8, learning_rate: 0.05}
compress: [{quantize: {per_channel: false, max_drop: 0.01, qat_epochs: 1}}]
targets: [{name: onnxruntime-cpu, precisions: [int8]}]
gates: {accuracy_drop: 0.02}
measure: {processes: 1, blocks: 1, block_seconds: 0.05}
"""

GUARD = GuardRecord(
    budget=0.01, held_out=1001, reference=0.99, float_test=0.9, met=True, chosen="minmax, equalized",
    candidates=(
        CandidateRecord("minmax", 0.11, 0.88, 0.01, 3.0, 74_000, False, False),
        CandidateRecord("minmax, equalized", 0.989, 0.001, 0.0005, 4.0, 74_000, True, True),
        CandidateRecord("QAT", None, None, None, None, None, False, False, "the recipe gives no qat_epochs"),
    ),
    sensitivity=(LayerRecord("blocks.1.layers.3", 3.25),),
)  # fmt: skip


def split(count):
    return ArraySplit({"x": np.arange(count, dtype=np.float32)[:, None]}, np.arange(count))


@pytest.mark.parametrize("count", [400, 5000])
def test_what_decides_is_not_calibrated_on_and_the_same_each_time(count):
    chosen = held_out(split(count), 256, 3)
    assert not set(chosen) & set(subset(split(count), 256, 3))
    assert len(chosen) == len(set(chosen)) == min(1024, count - 256)
    assert np.array_equal(chosen, held_out(split(count), 256, 3))


def test_too_few_examples_to_decide_on_is_one_sentence():
    with pytest.raises(ModelError, match=r"44 of 300 are left and 50 are needed: lower calibration_samples 256\."):
        held_out(split(300), 256, 0)


def test_the_guard_has_a_step_of_its_own_and_trains_only_if_it_must(recipe_from):
    plan = make_plan(recipe_from(RECIPE), "m")
    kinds = {s.name: s.kind for s in plan.steps}
    assert kinds["export onnxruntime-cpu/int8-guard"] == "guard"
    assert "quantize" not in kinds
    other = make_plan(recipe_from(RECIPE.replace("max_drop: 0.01,", "max_drop: 0.02,")), "m")
    name = "export onnxruntime-cpu/int8-guard"
    assert plan.keys[name] != other.keys[name]
    assert plan.keys["reference"] == other.keys["reference"]


def test_its_gate_holds_the_deployed_file_against_the_float_network_it_came_from(artifact):
    record = artifact("onnxruntime-cpu/int8-guard", guard=GUARD, accuracy=AccuracyRecord("top1", 0.95, None, 0.895, 540, "ab"))
    (gate,) = guard_gate(record)
    assert (gate.passed, round(gate.value, 6)) == (True, 0.005)
    (gate,) = guard_gate(replace(record, guard=replace(GUARD, float_test=0.91)))
    assert not gate.passed
    assert "lost 0.015 on the test set, limit at most 0.01" in gate.reason
    assert guard_gate(artifact()) == ()


def test_where_no_candidate_held_the_run_fails_even_if_a_float_file_ships(artifact, recipe_from):
    guarded = artifact("onnxruntime-cpu/int8-guard", guard=replace(GUARD, met=False), verdict="fail")
    guarded = replace(guarded, gates=guard_gate(guarded))
    assert not guarded.gates[0].passed  # though it lost nothing on the test set
    _, verdict = decide((artifact("onnxruntime-cpu/fp32"), guarded))
    assert not verdict.passed
    (reason,) = verdict.reasons
    assert "none of 2 candidates met 0.01 on 1,001 held-out examples; the best, 'minmax, equalized'," in reason
    assert reason.endswith("it is kept at artifacts/onnxruntime-cpu/int8-guard/model.onnx")


def test_the_search_is_in_every_view_and_survives_reading(artifact, evidence_of, tmp_path, capsys):
    evidence = evidence_of(artifact("onnxruntime-cpu/int8-guard", guard=GUARD, verdict="ship"))
    evidence.write(tmp_path / "evidence.json")
    assert read_evidence(tmp_path / "evidence.json").artifacts[0].guard == GUARD
    print_table(evidence)
    for text in (capsys.readouterr().out, summary(evidence), render(evidence)):
        for said in ("11.00 %", "met, chosen", "98.90 %", "blocks.1.layers.3 3.2 dB", "the recipe gives no"):
            assert said in text.replace("\\", "")


def test_evidence_without_a_guard_is_still_read(artifact, evidence_of, tmp_path):
    path = tmp_path / "evidence.json"
    evidence_of(artifact()).write(path)
    value = json.loads(path.read_text())
    del value["artifacts"][0]["guard"]
    write_json(path, value)
    assert read_evidence(path).artifacts[0].guard is None


def run(cli, tmp_path, recipe, out="out"):
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe if isinstance(recipe, str) else yaml.safe_dump(recipe))
    done = cli("run", str(path), "--out", str(tmp_path / out), "--store", str(tmp_path / "store"))
    evidence = json.loads((tmp_path / out / "evidence.json").read_text()) if (tmp_path / out).is_dir() else None
    return done, evidence


@pytest.mark.slow
def test_one_scale_for_all_channels_collapses_and_the_guard_brings_it_back(cli, tmp_path):
    done, evidence = run(cli, tmp_path, RECIPE)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = (a for a in evidence["artifacts"] if a["guard"])
    candidates = {r["name"]: r for r in found["guard"]["candidates"]}
    assert candidates["minmax"]["drop"] > 0.3
    assert "equalized" in found["guard"]["chosen"]
    assert found["accuracy"]["reference"] - found["accuracy"]["deployed"] <= 0.01
    assert found["guard"]["held_out"] == 1001
    again, _ = run(cli, tmp_path, RECIPE, "again")
    assert again.returncode == 0
    assert (tmp_path / "again/artifacts/onnxruntime-cpu/int8-guard/model.onnx").read_bytes() == (
        tmp_path / "out/artifacts/onnxruntime-cpu/int8-guard/model.onnx"
    ).read_bytes()


@pytest.mark.slow
def test_a_budget_that_nothing_meets_is_an_honest_no_with_the_best_file_kept(cli, tmp_path):
    recipe = yaml.safe_load(RECIPE)
    recipe["train"]["epochs"] = 2
    recipe["compress"][0]["quantize"] |= {"max_drop": 1e-9, "weight_bits": 4, "qat_epochs": 0}
    done, evidence = run(cli, tmp_path, recipe)
    assert done.returncode == 1
    assert "none of" in done.stdout
    (found,) = (a for a in evidence["artifacts"] if a["guard"])
    guard = found["guard"]
    assert not guard["met"]
    assert (tmp_path / "out" / found["main"]).is_file()
    assert guard["candidates"][-1]["reason"] == "the recipe gives no qat_epochs"
    assert len(guard["sensitivity"]) == 23
    best = min((r for r in guard["candidates"] if r["metric"] is not None), key=lambda r: r["drop"] + r["error"])
    assert guard["chosen"] == best["name"]
