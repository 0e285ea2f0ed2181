"""What may be said of measured numbers: intervals by Student's t, and nothing that the samples do not bear."""

import math

import pytest

from benchmarks.statistics import P99_SAMPLES, Ratio, curve, interval, paired_ratio, quantile

T975 = {1: 12.706204736432095, 2: 4.302652729749464, 4: 2.7764451051977987}
"""The 97.5 % point of Student's t by degrees of freedom, from printed tables."""


@pytest.mark.parametrize("values", [[1.0, math.e], [1.0, 2.0, 4.0], [0.9, 1.0, 1.1, 1.3, 0.8]])
def test_the_interval_is_that_of_a_t_test_on_the_logarithms(values):
    logs = [math.log(v) for v in values]
    mean = sum(logs) / len(logs)
    variance = sum((x - mean) ** 2 for x in logs) / (len(logs) - 1)
    half = T975[len(logs) - 1] * math.sqrt(variance / len(logs))
    assert interval(values) == pytest.approx((math.exp(mean - half), math.exp(mean + half)), rel=1e-9)


def test_three_doublings_by_hand():
    # logarithms 0, ln 2, 2 ln 2: mean ln 2, standard deviation ln 2, half width 4.3027 ln 2 / sqrt 3
    half = 4.302652729749464 * math.log(2) / math.sqrt(3)
    assert interval([1.0, 2.0, 4.0]) == pytest.approx((2 / math.exp(half), 2 * math.exp(half)))


def test_one_value_has_no_interval():
    assert interval([3.0]) == (0.0, math.inf)
    assert interval([]) == (0.0, math.inf)


def test_equal_values_leave_no_doubt():
    assert interval([2.0, 2.0, 2.0]) == pytest.approx((2.0, 2.0))


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1.01, 2.0, "faster"),
        (0.5, 0.99, "slower"),
        (0.9, 1.1, "no difference shown"),
        (1.0, 2.0, "no difference shown"),
        (0.5, 1.0, "no difference shown"),
        (0.0, math.inf, "no difference shown"),
        (math.nan, math.nan, "no difference shown"),
    ],
)
def test_a_verdict_needs_an_interval_that_excludes_1(low, high, verdict):
    assert Ratio(1.2, low, high).verdict == verdict


def test_rounds_are_paired_so_that_drift_of_the_machine_cancels():
    drift = [1.0, 3.0, 9.0]
    ratio = paired_ratio([2 * d for d in drift], drift)
    assert (ratio.ratio, ratio.low, ratio.high) == pytest.approx((2, 2, 2))
    assert ratio.verdict == "faster"
    assert paired_ratio([2 * d for d in drift], drift[::-1]).verdict == "no difference shown"


def test_one_pair_of_processes_shows_nothing():
    assert paired_ratio([100.0], [1.0]).verdict == "no difference shown"


def test_rounds_that_do_not_pair_are_an_error():
    with pytest.raises(ValueError, match="zip"):
        paired_ratio([1.0, 2.0], [1.0])


def test_no_99th_percentile_from_fewer_than_a_thousand_samples():
    samples = [float(i) for i in range(P99_SAMPLES)]
    assert P99_SAMPLES == 1000
    assert quantile(samples, 0.99) == pytest.approx(989.01)
    assert quantile(samples[:-1], 0.99) is None
    assert quantile(samples[:-1], 0.999) is None
    assert quantile(samples[:10], 0.9) == pytest.approx(8.1)
    assert quantile([7.0], 0.5) == 7.0


def test_the_curve_runs_from_the_least_to_the_largest():
    points = curve([3.0, 1.0, 2.0])
    assert len(points) == 101
    assert (points[0], points[50], points[100]) == (1.0, 2.0, 3.0)
    assert list(points) == sorted(points)
