"""A baseline is a small file that says whether it was edited; what cannot be compared with it fails."""

import json
import math
from dataclasses import replace

import pytest

from artifacts.errors import IntegrityError, RequestError
from artifacts.files import sha256_json
from tightship.gating.baseline import baseline_of, read_baseline, write_baseline
from tightship.gating.baseline_limits import BASELINE_LIMITS
from tightship.gating.baseline_limits.latency import latency_ratio
from tightship.gating.evaluate_run import judge_run

AT_LEAST = {"baseline_throughput_ratio"}
TIMED = {name for name, how in BASELINE_LIMITS.items() if how.timed}


def scaled(record, name, share):
    """The artifact with the one figure that a limit reads multiplied by `share`; of accuracy `share - 1` is lost."""
    latency, count = record.latency_ms, 0 if math.isnan(share) else round(record.bytes * share)
    changed = {
        "baseline_accuracy_drop": {"accuracy": replace(record.accuracy, deployed=record.accuracy.deployed - (share - 1))},
        "baseline_latency_ratio": {
            "latency_ms": replace(latency, p50=latency.p50 * share, ci95=tuple(end * share for end in latency.ci95))
        },
        "baseline_p90_ratio": {"latency_ms": replace(latency, p90=latency.p90 * share)},
        "baseline_throughput_ratio": {"throughput_per_s": record.throughput_per_s * share},
        "baseline_size_ratio": {"bytes": count},
        "baseline_peak_rss_ratio": {"peak_rss_mb": record.peak_rss_mb * share},
        "baseline_cold_start_ratio": {"cold_start_ms": record.cold_start_ms * share},
    }
    return replace(record, **changed[name])


# the interval of a ratio of two medians, each known to about 0.1 %
LIMIT = {name: 0.02 if name == "baseline_accuracy_drop" else 0.98 if name in AT_LEAST else 1.02 for name in BASELINE_LIMITS}


@pytest.fixture
def good(artifact):
    """An artifact that ships, its median known to 0.1 %."""
    made = artifact(verdict="ship")
    return replace(made, latency_ms=replace(made.latency_ms, ci95=(0.999, 1.001)))


@pytest.fixture
def held(artifact, evidence_of, tmp_path, good):
    """Holds a run of one artifact against the baseline of another: the records of the relative limits."""

    def hold(now, limits, then=good, evidence=lambda e: e, edit=lambda text: text, wanted=None):
        write_baseline(baseline_of(evidence_of(artifact("torch-cpu/reference"), then)), tmp_path / "base.json")
        path = tmp_path / "base.json"
        path.write_text(edit(path.read_text()))
        evidence(evidence_of(artifact("torch-cpu/reference"), now)).write(tmp_path / "evidence.json")
        return [g for _, g in judge_run(tmp_path, limits, wanted, path).results if g.name in limits]

    return hold


def other_machine(evidence):
    return replace(evidence, machine=replace(evidence.machine, cpu="another cpu"))


def test_the_scaling_above_covers_every_relative_limit(good):
    assert all(scaled(good, name, 1.5) != good for name in BASELINE_LIMITS)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same machine", "other machine"])
@pytest.mark.parametrize("how", ["better", "equal", "worse"])
@pytest.mark.parametrize("name", BASELINE_LIMITS)
def test_truth_table(held, good, name, how, elsewhere):
    share = {"better": 0.9, "equal": 1.0, "worse": 1.1}[how]
    share = 1 / share if name in AT_LEAST else share
    (record,) = held(scaled(good, name, share), {name: LIMIT[name]}, evidence=other_machine if elsewhere else lambda e: e)
    refused = elsewhere and name in TIMED
    assert record.passed is (how != "worse" and not refused), record
    if refused:
        assert record.value is None
        assert "another machine (a cpu" in record.reason
        assert "measure the baseline on this machine" in record.reason
    else:
        assert record.value is not None
        assert f"{LIMIT[name]:g}" in record.reason


@pytest.mark.parametrize("name", sorted(set(BASELINE_LIMITS) - {"baseline_size_ratio"}))
def test_a_figure_that_is_no_number_fails(evidence_of, good, name):
    # such a figure cannot come through a file, which holds no NaN
    from tightship.gating.relative import judge_relative

    evidence = evidence_of(good)
    broken = scaled(good, name, math.nan)
    for limit in (0.0, 1e12):
        (record,) = judge_relative(broken, good.id, baseline_of(evidence), evidence.machine, {name: limit})
        assert (record.passed, record.value) == (False, None)


@pytest.mark.parametrize("name", sorted(set(BASELINE_LIMITS) - {"baseline_accuracy_drop"}))
def test_a_baseline_figure_of_zero_fails(evidence_of, good, name):
    from tightship.gating.relative import judge_relative

    evidence = evidence_of(good)
    (record,) = judge_relative(good, good.id, baseline_of(evidence_of(scaled(good, name, 0))), evidence.machine, {name: 1.0})
    assert not record.passed


def test_relative_limits_without_a_baseline_and_a_baseline_without_them_fail(artifact, evidence_of, good, tmp_path):
    evidence = evidence_of(artifact("torch-cpu/reference"), good)
    evidence.write(tmp_path / "evidence.json")
    write_baseline(baseline_of(evidence), tmp_path / "base.json")
    found = {g.name: g for _, g in judge_run(tmp_path, {"size_mb": 9, "baseline_size_ratio": 9}).results}
    assert (found["size_mb"].passed, found["baseline_size_ratio"].passed) == (True, False)
    assert "--baseline" in found["baseline_size_ratio"].reason
    found = {g.name: g for _, g in judge_run(tmp_path, {"size_mb": 9}, None, tmp_path / "base.json").results}
    assert (found["size_mb"].passed, found["limits"].passed) == (True, False)
    assert not judge_run(tmp_path, {}).passed, "an empty list of limits"


def test_the_interval_of_a_ratio_decides_and_a_wide_one_says_that_it_cannot_tell(held, good):
    noisy = replace(good, latency_ms=replace(good.latency_ms, ci95=(0.8, 1.25)))
    (record,) = held(noisy, {"baseline_latency_ratio": 1.1})
    assert not record.passed
    assert record.value == pytest.approx(1.25, rel=0.01)
    assert "cannot be told" in record.reason
    (record,) = held(scaled(good, "baseline_latency_ratio", 1.5), {"baseline_latency_ratio": 1.1})
    assert "slower than allowed" in record.reason


def test_the_interval_of_a_ratio_covers_what_two_measured_medians_leave_open(good, evidence_of):
    import random

    from benchmarks.timing.statistics import interval

    draw, hits, rounds = random.Random(0), 0, 2000
    for _ in range(rounds):
        now, then = ([draw.lognormvariate(0, 0.05) * scale for _ in range(5)] for scale in (1.3, 1.0))
        made = [
            replace(good, latency_ms=replace(good.latency_ms, p50=m[2], ci95=interval(m), processes=5)) for m in (now, then)
        ]
        found = latency_ratio(made[0], baseline_of(evidence_of(made[1])).artifacts[good.id])
        hits += found.low <= 1.3 <= found.high
    assert 0.94 <= hits / rounds <= 0.99


@pytest.mark.parametrize("whose", ["this run", "the baseline"])
def test_a_median_from_one_process_cannot_be_held_against_another(held, good, whose):
    single = replace(good, latency_ms=replace(good.latency_ms, ci95=(0.0, 1e12)))
    now, then = (single, good) if whose == "this run" else (good, single)
    (record,) = held(now, {"baseline_latency_ratio": 100.0}, then)
    assert not record.passed
    assert whose in record.reason


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (
            "baseline_accuracy_drop",
            lambda a: replace(a, accuracy=replace(a.accuracy, test_sha256="00" * 32)),
            "another test set",
        ),
        ("baseline_accuracy_drop", lambda a: replace(a, accuracy=replace(a.accuracy, metric="auc")), "measured auc"),
        ("baseline_latency_ratio", lambda a: replace(a, latency_ms=replace(a.latency_ms, threads=2)), "2 threads"),
        ("baseline_p90_ratio", lambda a: replace(a, latency_ms=replace(a.latency_ms, batch=8)), "8 examples a call"),
        ("baseline_throughput_ratio", lambda a: replace(a, throughput_batch=64), "batches of 64"),
    ],
)
def test_what_was_measured_otherwise_is_not_compared(held, good, name, change, said):
    (record,) = held(change(good), {name: 0.5 if name in AT_LEAST else 10.0})
    assert (record.passed, record.value) == (False, None)
    assert said in record.reason


def test_what_ships_is_held_against_what_shipped_for_its_target(held, artifact, good):
    small = replace(artifact("onnxruntime-cpu/int8-ptq", verdict="ship"), bytes=250_000)
    (record,) = held(good, {"baseline_size_ratio": 1.5}, small)
    assert record.value == pytest.approx(4.0)
    assert "held against onnxruntime-cpu/int8-ptq" in record.reason


def test_an_artifact_chosen_by_name_is_held_against_itself(held, artifact, good):
    small = replace(artifact("onnxruntime-cpu/int8-ptq", verdict="ship"), bytes=250_000)
    (record,) = held(good, {"baseline_size_ratio": 1.5}, small, wanted=good.id)
    assert not record.passed
    assert f"the baseline has no {good.id} (it has {small.id})" in record.reason


def test_a_target_that_the_run_no_longer_serves_fails(artifact, evidence_of, good, tmp_path):
    reference, other = artifact("torch-cpu/reference"), artifact("torchscript-cpu/fp32", verdict="ship")
    write_baseline(baseline_of(evidence_of(reference, good, other)), tmp_path / "base.json")
    evidence_of(reference, good).write(tmp_path / "evidence.json")
    gated = judge_run(tmp_path, {"baseline_size_ratio": 1.1}, None, tmp_path / "base.json")
    assert not gated.passed
    found = {name: gate for name, gate in gated.results if gate.name == "baseline_target"}
    assert {name: gate.passed for name, gate in found.items()} == {good.id: True, other.id: False}
    assert "ships nothing" in found[other.id].reason


def test_writing_is_stable_and_reading_gives_the_same_back(evidence_of, good, tmp_path):
    baseline = baseline_of(evidence_of(good))
    for name in ("a.json", "b.json"):
        write_baseline(baseline, tmp_path / name)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert read_baseline(tmp_path / "a.json") == baseline


def edited(path, change, sign=False):
    value = json.loads(path.read_text())
    change(value)
    if sign:
        value["sha256"] = sha256_json({k: v for k, v in value.items() if k != "sha256"})
    path.write_text(json.dumps(value))


def figure(value):
    return value["artifacts"]["onnxruntime-cpu/fp32"]


@pytest.mark.parametrize(
    ("change", "sign", "kind", "said"),
    [
        (lambda v: figure(v).update(latency_p50_ms=9.0), False, IntegrityError, "was changed after it was written"),
        (lambda v: v.update(machine="this machine"), False, IntegrityError, "was changed"),
        (lambda v: v.update(note="trust me"), False, IntegrityError, "was changed"),
        (lambda v: v.pop("sha256"), False, IntegrityError, "was changed"),
        (lambda v: v.update(schema=2), True, RequestError, "schema 2, but this tightship reads up to 1; upgrade"),
        (lambda v: v.update(schema=2), False, RequestError, "schema 2, but this tightship reads up to 1; upgrade"),
        (lambda v: v.update(schema="1"), True, RequestError, "is not a baseline"),
        (lambda v: v.update(schema=True), True, RequestError, "is not a baseline"),
        (lambda v: v.update(kind="recipe"), True, RequestError, "is not a baseline"),
        (lambda v: figure(v).update(accuracy="0.9"), True, RequestError, "accuracy"),
        (lambda v: figure(v).update(bytes=1.5), True, RequestError, "bytes"),
        (lambda v: figure(v).pop("test_sha256"), True, RequestError, "test_sha256"),
        (lambda v: v.update(artifacts=[]), True, RequestError, "artifacts"),
    ],
)
def test_an_edited_newer_or_malformed_baseline_is_refused_in_one_sentence(
    evidence_of, good, tmp_path, change, sign, kind, said
):
    path = tmp_path / "base.json"
    write_baseline(baseline_of(evidence_of(good)), path)
    edited(path, change, sign)
    with pytest.raises(kind, match=said) as caught:
        read_baseline(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "x", "[]", "1", '"a"', "null", '{"kind": 1, "kind": 2}', '{"kind": NaN, "schema": 1}'])
def test_a_file_that_is_no_baseline_is_refused(tmp_path, text):
    path = tmp_path / "base.json"
    path.write_text(text)
    with pytest.raises(RequestError, match="is not a baseline"):
        read_baseline(path)


def test_a_baseline_that_is_not_there_says_how_to_make_it(tmp_path):
    with pytest.raises(RequestError, match=r"there is no baseline.*--write-baseline"):
        read_baseline(tmp_path / "none.json")


def test_only_a_run_that_passed_becomes_the_baseline(artifact, evidence_of, good, tmp_path):
    reference, path = artifact("torch-cpu/reference"), tmp_path / "base.json"
    evidence_of(reference, good).write(tmp_path / "evidence.json")
    gated = judge_run(tmp_path, {"size_mb": 0.1}, write=path)
    assert (gated.passed, path.exists()) == (False, False)
    assert "not written" in gated.notes[-1]
    gated = judge_run(tmp_path, {"size_mb": 2, "baseline_latency_ratio": 1.1}, write=path)
    assert gated.passed
    assert any("not judged" in note and "baseline_latency_ratio" in note for note in gated.notes)
    assert read_baseline(path) == baseline_of(evidence_of(reference, good))
    evidence_of(reference, artifact(verdict="fail")).write(tmp_path / "evidence.json")
    with pytest.raises(RequestError, match="cannot be a baseline: it ships nothing"):
        judge_run(tmp_path, {"size_mb": 2}, write=path)
    evidence_of(reference, good, reasons=("no artifact for x passed",)).write(tmp_path / "evidence.json")
    with pytest.raises(RequestError, match="no artifact for x passed"):
        judge_run(tmp_path, {"size_mb": 2}, write=path)
    evidence_of(reference, good).write(tmp_path / "evidence.json")
    with pytest.raises(RequestError, match="whole run"):
        judge_run(tmp_path, {"size_mb": 2}, good.id, write=path)


def test_a_worse_run_does_not_replace_the_baseline_that_it_is_held_against(artifact, evidence_of, good, tmp_path):
    reference, path = artifact("torch-cpu/reference"), tmp_path / "base.json"
    evidence_of(reference, good).write(tmp_path / "evidence.json")
    assert judge_run(tmp_path, {"size_mb": 9}, write=path).passed
    kept = path.read_bytes()
    evidence_of(reference, replace(good, bytes=5_000_000)).write(tmp_path / "evidence.json")
    limits = {"size_mb": 9, "baseline_size_ratio": 1.1}
    assert not judge_run(tmp_path, limits, baseline=path, write=path).passed
    assert path.read_bytes() == kept
    assert judge_run(tmp_path, limits, write=path).passed, "without the old one the new level is accepted"
    assert path.read_bytes() != kept
