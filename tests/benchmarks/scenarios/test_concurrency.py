"""Several callers at once: what is said of known throughputs, and a real sweep."""

import math

import pytest

from benchmarks.scenarios.concurrency import ROUNDS, Level, scales_to, sweep
from benchmarks.timing.statistics import Ratio


def levels(*gains):
    """One caller, and a doubling for each gain, given by its interval."""
    made = [Level(1, 100.0, 10.0, None, 500, Ratio(1.0, 1.0, 1.0), None)]
    for step, (low, high) in enumerate(gains, 1):
        gain = Ratio(math.sqrt(low * high), low, high)
        made.append(Level(2**step, 100.0, 10.0, None, 500, gain, gain))
    return made


@pytest.mark.parametrize(
    ("gains", "reached"),
    [
        ([], 1),
        ([(1.9, 2.0), (1.8, 1.9)], 4),
        ([(1.9, 2.0), (0.98, 1.03)], 2),
        ([(0.9, 1.1), (1.5, 1.6)], 1),
        ([(1.9, 2.0), (0.5, 0.6), (1.2, 1.3)], 2),
    ],
)
def test_scaling_ends_at_the_first_step_that_was_not_shown_to_gain(gains, reached):
    assert scales_to(levels(*gains)) == reached


def test_efficiency_is_throughput_per_caller():
    assert Level(4, 200.0, 20.0, None, 500, Ratio(2.0, 1.9, 2.1), None).efficiency == 0.5


@pytest.mark.slow
def test_real_callers_are_timed_at_once(onnx_engine, first, tmp_path):
    found = sweep(onnx_engine(), first, tmp_path, (2, 1), 0.05)
    one, two = found.levels
    assert (one.callers, two.callers) == (1, 2)
    assert one.scaling == Ratio(1.0, 1.0, 1.0)
    assert one.gain is None
    assert two.gain == two.scaling
    assert found.scales_to in (1, 2)
    assert found.noise.turns == 2 * ROUNDS
    for level in found.levels:
        assert level.calls > 2 * ROUNDS
        assert level.throughput_per_s > 0
        assert (level.p99_ms is None) == (level.calls < 1000)
