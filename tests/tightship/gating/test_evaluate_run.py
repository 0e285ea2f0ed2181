"""A finished run judged again agrees with its own verdict, and other limits are held against the same figures."""

from dataclasses import replace

import pytest

from artifacts.errors import RequestError
from tightship.gating.evaluate import evaluate
from tightship.gating.evaluate_run import regate


@pytest.fixture
def judged(artifact, evidence_of, tmp_path):
    """Writes evidence and judges it again: (artifact, gate, passed) for every result."""

    def again(*artifacts, limits=(), wanted=None):
        evidence_of(*artifacts).write(tmp_path / "evidence.json")
        return [(name, gate.name, gate.passed) for name, gate in regate(tmp_path, list(limits), wanted)]

    return again


def failed(record, reference):
    return replace(record, verdict="fail", gates=evaluate(record, reference, {"latency_p50_ms": 0.1}))


def test_the_shipped_artifacts_are_judged_by_their_own_limits_and_their_parity(artifact, judged):
    reference = artifact("torch-cpu/reference")
    good = artifact(verdict="ship")
    good = replace(good, gates=evaluate(good, reference, {"size_mb": 2}))
    assert judged(reference, good) == [(good.id, "size_mb", True), (good.id, "parity", True)]


def test_other_limits_are_held_against_the_measured_values(artifact, judged):
    reference, good = artifact("torch-cpu/reference"), artifact(verdict="ship")
    found = judged(reference, good, limits=["size_mb=2", "speedup=1.6"])
    assert found == [(good.id, "size_mb", True), (good.id, "speedup", False), (good.id, "parity", True)]


def test_a_target_with_nothing_to_ship_fails_though_another_ships(artifact, judged):
    reference, good = artifact("torch-cpu/reference"), artifact(verdict="ship")
    good = replace(good, gates=evaluate(good, reference, {"size_mb": 2}))
    bad = failed(artifact("torchscript-cpu/fp32"), reference)
    assert (bad.id, "latency_p50_ms", False) in judged(reference, good, bad)


def test_a_failed_parity_fails_though_another_artifact_of_its_target_ships(artifact, judged):
    reference, good = artifact("torch-cpu/reference"), artifact(verdict="ship")
    good = replace(good, gates=evaluate(good, reference, {"size_mb": 2}))
    bad = artifact("onnxruntime-cpu/int8-ptq", verdict="fail", gates=good.gates)
    bad = replace(bad, parity=replace(bad.parity, passed=False))
    assert (bad.id, "parity", False) in judged(reference, good, bad)


def test_an_artifact_that_failed_beside_one_that_ships_does_not_count(artifact, judged):
    reference, good = artifact("torch-cpu/reference"), artifact(verdict="ship")
    good = replace(good, gates=evaluate(good, reference, {"size_mb": 2}))
    beside = failed(artifact("onnxruntime-cpu/int8-ptq"), reference)
    assert {name for name, _, _ in judged(reference, good, beside)} == {good.id}


def test_a_run_in_which_nothing_was_judged_cannot_pass(artifact, judged):
    with pytest.raises(RequestError, match="nothing"):
        judged(artifact("torch-cpu/reference"))


def test_an_artifact_without_limits_fails(artifact, judged):
    reference, good = artifact("torch-cpu/reference"), artifact(verdict="ship")
    assert (good.id, "limits", False) in judged(reference, good)


def test_an_artifact_chosen_by_name_is_judged_alone(artifact, judged):
    reference, good = artifact("torch-cpu/reference"), artifact(verdict="ship")
    other = artifact("onnxruntime-cpu/int8-ptq", 9.0)
    found = judged(reference, good, other, limits=["latency_p50_ms=5"], wanted=other.id)
    assert found == [(other.id, "latency_p50_ms", False), (other.id, "parity", True)]
    with pytest.raises(RequestError, match="no artifact 'x/y'"):
        judged(reference, good, wanted="x/y")


def test_a_run_without_a_reference_cannot_be_held_against_other_limits(artifact, judged):
    with pytest.raises(RequestError, match="no reference"):
        judged(artifact(verdict="ship"), limits=["size_mb=2"])
