"""What may be said of measured numbers: intervals by Student's t, and nothing that the samples do not bear."""

import math

import pytest

from benchmarks.timing.statistics import (
    P99_SAMPLES,
    Ratio,
    apart,
    curve,
    interval,
    paired_ratio,
    processes_needed,
    quantile,
    unpaired_ratio,
)

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


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1.01, 1.05, "faster"),
        (1.001, 1.01, "faster"),
        (0.9, 0.999, "slower"),
        (0.99, 1.01, "no difference shown"),
        (0.99, 1.021, "cannot tell"),
        (0.97, 1.01, "cannot tell"),
        (0.0, math.inf, "cannot tell"),
    ],
)
def test_equal_and_unknown_are_two_verdicts(low, high, verdict):
    assert Ratio(1.0, low, high).decide(0.02) == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(1.01, 1.05, "cannot tell"), (1.021, 1.05, "faster"), (0.9, 0.97, "slower"), (0.9, 0.99, "cannot tell"),
     (0.99, 1.01, "no difference shown")],
)  # fmt: skip
def test_between_two_runs_a_difference_must_exceed_the_margin(low, high, verdict):
    assert apart(Ratio(1.0, low, high), 0.02) == verdict


def test_the_unpaired_interval_is_welchs():
    from scipy.stats import ttest_ind

    a, b = [2.0, 2.2, 1.9, 2.1, 2.4], [1.0, 1.3, 0.8]
    found = unpaired_ratio(interval(a), len(a), interval(b), len(b))
    test = ttest_ind([math.log(v) for v in a], [math.log(v) for v in b], equal_var=False)
    expected = test.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))
    means = [sum(map(math.log, v)) / len(v) for v in (a, b)]
    assert found.ratio == pytest.approx(math.exp(means[0] - means[1]))


def test_one_process_in_a_run_leaves_the_ratio_open():
    assert unpaired_ratio((0.0, math.inf), 1, (1.0, 1.1), 5).decide() == "cannot tell"
    assert unpaired_ratio((2.0, 2.0), 3, (1.0, 1.0), 3) == Ratio(2.0, 2.0, 2.0)


def test_so_many_processes_would_decide():
    from statistics import stdev

    from scipy.stats import t

    ratios = [1.10, 0.90, 1.05, 0.95, 1.02, 0.99]
    wanted = math.log1p(0.02) - abs(sum(map(math.log, ratios)) / 6)

    def half(count):
        return t.ppf(0.975, count - 1) * stdev(map(math.log, ratios)) / math.sqrt(count)

    needed = processes_needed(ratios, 0.02)
    assert half(needed) < wanted <= half(needed - 1)
    assert processes_needed([1.5, 1.49, 1.51], 0.02) == 3, "it is decided already"
    assert processes_needed([1.0], 0.02) is None
    assert processes_needed([1e3, 1e-3] * 3, 0.001) is None, "no number worth saying"


def test_a_smaller_error_gives_a_wider_interval():
    narrow, wide = interval([1.0, 1.1, 0.9], 0.05), interval([1.0, 1.1, 0.9], 0.01)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
