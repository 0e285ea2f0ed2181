"""Which interval keeps its error rate with a few processes: Student's t on logarithms against three bootstraps.

pytest benchmarks/suites/test_intervals.py -rP     prints the table of docs/results/measuring.md

Two equal files are drawn again and again; an interval of their ratio that excludes 1 is an error. The bootstraps resample
processes (Efron, Tibshirani: An Introduction to the Bootstrap, chapters 12 to 14).
"""

import numpy as np
import pytest
from scipy.special import ndtr, ndtri, stdtrit

TRIALS = 2000
RESAMPLES = 400
PROCESSES = (3, 5, 7, 10, 20)


def _resampled(x, draw):
    at = draw.integers(0, x.shape[1], (len(x), RESAMPLES, x.shape[1]))
    return x[np.arange(len(x))[:, None, None], at]


def student(x, draw):
    half = stdtrit(x.shape[1] - 1, 0.975) * x.std(1, ddof=1) / np.sqrt(x.shape[1])
    return x.mean(1) - half, x.mean(1) + half


def percentile(x, draw):
    means = _resampled(x, draw).mean(2)
    return np.quantile(means, 0.025, axis=1), np.quantile(means, 0.975, axis=1)


def bca(x, draw):
    means, n = np.sort(_resampled(x, draw).mean(2), axis=1), x.shape[1]
    below = ((means < x.mean(1, keepdims=True)).mean(1) + (means <= x.mean(1, keepdims=True)).mean(1)) / 2
    bias = ndtri(np.clip(below, 1 / RESAMPLES, 1 - 1 / RESAMPLES))
    left_out = (x.sum(1, keepdims=True) - x) / (n - 1)
    apart = left_out.mean(1, keepdims=True) - left_out
    skew = (apart**3).sum(1) / (6 * (apart**2).sum(1) ** 1.5)
    ends = []
    for z in (ndtri(0.025), ndtri(0.975)):
        share = ndtr(bias + (bias + z) / (1 - skew * (bias + z)))
        ends.append(means[np.arange(len(x)), np.clip((share * RESAMPLES).astype(int), 0, RESAMPLES - 1)])
    return ends[0], ends[1]


def studentised(x, draw):
    again, n = _resampled(x, draw), x.shape[1]
    error = np.maximum(again.std(2, ddof=1), 1e-12) / np.sqrt(n)
    t = (again.mean(2) - x.mean(1, keepdims=True)) / error
    own = x.std(1, ddof=1) / np.sqrt(n)
    return x.mean(1) - np.quantile(t, 0.975, axis=1) * own, x.mean(1) - np.quantile(t, 0.025, axis=1) * own


def _noise(kind, shape, draw):
    normal = draw.standard_normal(shape)
    return {
        "normal": lambda: normal,
        "skewed": lambda: draw.exponential(1, shape),
        "outliers": lambda: normal * np.where(draw.random(shape) < 0.1, 10, 1),
        "two modes": lambda: normal + np.where(draw.random(shape) < 0.3, 5.0, 0.0),
        "heavy tails": lambda: draw.standard_t(3, shape),
    }[kind]()


KINDS = ("normal", "skewed", "outliers", "two modes", "heavy tails")


def errors(method):
    """The error rate in percent by number of processes and kind of noise."""
    rates = {}
    for count in PROCESSES:
        for kind in KINDS:
            draw = np.random.default_rng(0)
            shape = (TRIALS, count)
            low, high = method(_noise(kind, shape, draw) - _noise(kind, shape, draw), draw)
            rates[count, kind] = 100 * float(np.mean((low > 0) | (high < 0)))
    return rates


@pytest.fixture(scope="module")
def table():
    found = {method.__name__: errors(method) for method in (student, percentile, bca, studentised)}
    print("| processes | noise | " + " | ".join(found) + " |")
    for count in PROCESSES:
        for kind in KINDS:
            print(f"| {count} | {kind} | " + " | ".join(f"{rates[count, kind]:.1f} %" for rates in found.values()) + " |")
    return found


@pytest.mark.slow
def test_student_keeps_its_rate_and_the_percentile_bootstrap_does_not(table):
    # 5 % of 2000 trials are known to half a point; 25 rates are looked at, so three of these are allowed
    assert max(table["student"].values()) <= 5 + 3 * 0.5
    assert min(table["percentile"][5, kind] for kind in KINDS) > 10
    assert min(table["bca"][5, kind] for kind in KINDS) > 10
    assert max(table["studentised"].values()) > 10
