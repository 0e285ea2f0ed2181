"""Each limit has a direction; what was not measured, or is no number, has not met it."""

import math
import re
from dataclasses import replace

import pytest

from artifacts.errors import RequestError
from artifacts.records.evidence import SpeedupRecord
from tightship.gating.evaluate import evaluate
from tightship.gating.gates import GATES
from tightship.gating.limits import parse_limit, read_limits
from tightship.gating.verdict import decide

VALUES = {
    "accuracy_drop": 0.05,
    "accuracy_min": 0.85,
    "error_max": 0.15,
    # the upper end of the interval, 1.1 times the median
    "latency_p50_ms": 1.1,
    "latency_p90_ms": 2.0,
    "latency_p99_ms": 3.0,
    "size_mb": 1.0,
    "size_ratio": 0.5,
    "speedup": 1.5,
    "stock_latency": 0.5,
    "peak_rss_mb": 100.0,
    "cold_start_ms": 50.0,
    "fallback_share": 0.1,
}
AT_LEAST = {"accuracy_min", "speedup"}


@pytest.fixture
def pair(artifact):
    """An artifact with the values above, and the reference they are held against."""
    made = artifact()
    made = replace(made, accuracy=replace(made.accuracy, deployed=0.85))
    stock = SpeedupRecord("onnxruntime-cpu/int8-stock", 2.1, (2.0, 2.2), "faster")
    made = replace(made, versus_stock=stock)
    return made, artifact("torch-cpu/reference", bytes=2_000_000)


def test_the_table_below_covers_every_gate():
    assert set(VALUES) == set(GATES)


def smaller_is_better(pair):
    """The same two, scored by an error of 0.15 after 0.1."""
    made, reference = pair
    scored = replace(made.accuracy, metric="mse", deployed=0.15, reference=0.1, direction="smaller", unit="")
    return replace(made, accuracy=scored), replace(reference, accuracy=replace(scored, deployed=0.1))


@pytest.mark.parametrize("name", VALUES)
def test_a_limit_is_met_on_the_right_side_and_at_equality(pair, name):
    value = VALUES[name]
    pair = smaller_is_better(pair) if name == "error_max" else pair
    better, worse = (0.9 * value, 1.1 * value) if name in AT_LEAST else (1.1 * value, 0.9 * value)
    for limit, passed in ((better, True), (value, True), (worse, False)):
        (record,) = evaluate(*pair, {name: limit})
        assert record.passed is passed, (limit, record)
        assert record.value == pytest.approx(value)
        assert (record.name, record.limit) == (name, limit)
        assert name in record.reason
        assert f"{limit:g}" in record.reason


def test_equality_holds_through_binary_arithmetic(pair):
    made, reference = pair
    made = replace(made, accuracy=replace(made.accuracy, deployed=0.89))
    assert 0.9 - 0.89 > 0.01
    assert evaluate(made, reference, {"accuracy_drop": 0.01})[0].passed
    assert not evaluate(made, reference, {"accuracy_drop": 0.0099})[0].passed


def test_a_drop_is_a_loss_whichever_values_are_better(pair):
    made, reference = smaller_is_better(pair)
    (record,) = evaluate(made, reference, {"accuracy_drop": 0.04})
    assert (record.passed, record.value) == (False, pytest.approx(0.05))
    better = replace(made, accuracy=replace(made.accuracy, deployed=0.01))
    assert evaluate(better, reference, {"accuracy_drop": 0})[0].passed
    for pair_of, name, way_out in ((pair, "error_max", "accuracy_min"), ((made, reference), "accuracy_min", "error_max")):
        (record,) = evaluate(*pair_of, {name: 0.5})
        assert (record.passed, record.value) == (False, None)
        assert f"values of this metric are better: set {way_out}" in record.reason


def test_an_artifact_that_gained_accuracy_meets_any_drop(pair):
    made, reference = pair
    assert evaluate(replace(made, accuracy=replace(made.accuracy, deployed=0.95)), reference, {"accuracy_drop": 0})[0].passed


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["latency_p50_ms", "accuracy_min", "accuracy_drop", "speedup"])
def test_a_value_that_is_no_number_fails(pair, name, value):
    made, reference = pair
    broken = replace(
        made,
        accuracy=replace(made.accuracy, deployed=value),
        latency_ms=replace(made.latency_ms, p50=value),
        speedup=replace(made.speedup, ci95=(value, value)),
    )
    for limit in (-1e12, 0.0, 1e12):
        (record,) = evaluate(broken, reference, {name: limit})
        assert not record.passed
        assert record.value is None
        assert "was not measured" in record.reason


@pytest.mark.parametrize("limit", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", VALUES)
def test_a_limit_that_is_no_number_fails(pair, name, limit):
    assert not evaluate(*pair, {name: limit})[0].passed


def test_a_99th_percentile_from_too_few_samples_fails(pair):
    made, reference = pair
    few = replace(made, latency_ms=replace(made.latency_ms, p99=None))
    assert not evaluate(few, reference, {"latency_p99_ms": 1e9})[0].passed


def test_the_lower_end_of_the_interval_decides_the_speed_up(pair):
    made, reference = pair
    seen_fast = replace(made, speedup=replace(made.speedup, ratio=10.0, ci95=(0.8, 40.0)))
    assert not evaluate(seen_fast, reference, {"speedup": 1.0})[0].passed
    assert not evaluate(replace(made, speedup=None), reference, {"speedup": 0.001})[0].passed


@pytest.mark.parametrize("ci95", [(0.0, 1e12), (0.5, None), (0.0, 2.0), (math.nan, math.nan), (0.5, math.inf)])
def test_a_median_without_an_interval_fails_and_says_what_gives_one(pair, ci95):
    made, reference = pair
    (record,) = evaluate(replace(made, latency_ms=replace(made.latency_ms, ci95=ci95)), reference, {"latency_p50_ms": 1e9})
    assert (record.passed, record.value) == (False, None)
    assert "two or more processes" in record.reason


def test_the_upper_end_of_the_interval_decides_the_median(pair):
    made, reference = pair
    wide = replace(made, latency_ms=replace(made.latency_ms, p50=1.0, ci95=(0.5, 2.0)))
    assert not evaluate(wide, reference, {"latency_p50_ms": 1.5})[0].passed
    assert evaluate(wide, reference, {"latency_p50_ms": 2.0})[0].passed
    above = replace(made, latency_ms=replace(made.latency_ms, p50=2.5, ci95=(0.5, 2.0)))
    assert not evaluate(above, reference, {"latency_p50_ms": 2.4})[0].passed, "the median itself may lie above the interval"


def test_quantiles_without_an_interval_say_that_they_are_points(pair):
    for name in ("latency_p90_ms", "latency_p99_ms"):
        assert "a point" in evaluate(*pair, {name: 5})[0].reason


def test_no_limits_at_all_is_a_failure(pair):
    (record,) = evaluate(*pair, {})
    assert not record.passed


def test_the_fastest_that_passed_ships_on_each_target(artifact):
    given = (
        artifact("torch-cpu/reference", 5.0),
        artifact("onnxruntime-cpu/fp32", 2.0),
        artifact("onnxruntime-cpu/int8-ptq", 0.5, verdict="fail"),
        artifact("onnxruntime-cpu/int8-qat", 1.0),
        artifact("torchscript-cpu/fp32", 0.7),
        artifact("torchscript-cpu/int8-ptq", 3.0),
    )
    judged, verdict = decide(given)
    assert [a.verdict for a in judged] == ["reference", "pass", "fail", "ship", "ship", "pass"]
    assert verdict.passed
    assert verdict.shipped == ("onnxruntime-cpu/int8-qat", "torchscript-cpu/fp32")
    assert verdict.best == "torchscript-cpu/fp32"


def test_a_target_with_nothing_that_passed_fails_the_run(artifact):
    gates = evaluate(artifact(), artifact("torch-cpu/reference"), {"latency_p50_ms": 0.5})
    given = (artifact("onnxruntime-cpu/fp32"), artifact("torchscript-cpu/fp32", verdict="fail", gates=gates))
    _, verdict = decide(given)
    assert not verdict.passed
    assert verdict.shipped == ("onnxruntime-cpu/fp32",)
    assert "no artifact for torchscript-cpu passed" in verdict.reasons[0]
    assert "latency_p50_ms is 1.1 ms" in verdict.reasons[0]


@pytest.mark.parametrize("where", ["onnxruntime-cpu/fp32", "torch-cpu/reference"])
def test_a_failed_parity_fails_the_run_even_where_another_artifact_ships(artifact, where):
    parity = replace(artifact().parity, passed=False, first_bad="layer conv3")
    given = [artifact("torch-cpu/reference"), artifact("onnxruntime-cpu/fp32"), artifact("onnxruntime-cpu/int8-ptq")]
    given = [
        replace(a, parity=parity, verdict="fail" if a.verdict == "pass" else a.verdict) if a.id == where else a for a in given
    ]
    _, verdict = decide(tuple(given))
    assert verdict.shipped
    assert not verdict.passed
    assert verdict.reasons == (f"{where} failed parity: layer conv3",)


def test_nothing_that_can_ship_fails_the_run(artifact):
    _, verdict = decide((artifact("torch-cpu/reference"),))
    assert (verdict.passed, verdict.shipped, verdict.best) == (False, (), None)
    assert verdict.reasons
    assert not decide(())[1].passed


@pytest.mark.parametrize(
    "text", ["speedup", "speedup=", "speedup=fast", "speedup=nan", "speedup=inf", "speedup=-inf", "=1", "fast=1"]
)
def test_a_limit_on_the_command_line_is_a_known_name_and_a_number(text):
    with pytest.raises(RequestError):
        parse_limit(text)


def test_a_good_limit_on_the_command_line_is_read():
    assert parse_limit("latency_p90_ms=5e-1") == ("latency_p90_ms", 0.5)


def test_a_limits_file_holds_names_and_numbers(tmp_path):
    path = tmp_path / "limits.yaml"
    path.write_text("# what must hold\nsize_mb: 1\nbaseline_latency_ratio: 1.1\n")
    assert read_limits(path) == {"size_mb": 1.0, "baseline_latency_ratio": 1.1}
    path.write_text("\n")
    assert read_limits(path) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sise_mb: 1", "did you mean 'size_mb'"),
        ("size_mb: .nan", "finite"),
        ("size_mb: .inf", "finite"),
        ("size_mb: true", "finite"),
        ("size_mb: '1'", "finite"),
        ("size_mb:", "finite"),
        ("size_mb: 1\nsize_mb: 2", "stands twice"),
        ("- size_mb", "NAME: NUMBER"),
        ("# nothing", "NAME: NUMBER"),
    ],
)
def test_a_limits_file_with_anything_else_is_refused_in_one_sentence(tmp_path, text, said):
    path = tmp_path / "limits.yaml"
    path.write_text(text)
    with pytest.raises(RequestError, match=re.escape(said)) as caught:
        read_limits(path)
    assert "\n" not in str(caught.value)
    assert "recipe" not in str(caught.value)
