"""Where warm-up ends: found in the calls themselves, not assumed."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

TOLERANCE = 0.05
"""The running median is stable when it stays this near to where it ends."""
SHORTEST = 5
"""Calls in the first windows."""
GROWTH = 4
"""A later window is a fourth of the calls before it: warm-up is told finely where it happens."""


@dataclass(frozen=True)
class Warmup:
    """What one process needed until its latency was stable."""

    calls: int
    """Calls before the first stable window."""
    ms: float
    """The time that these took."""
    settled: bool
    """Whether it became stable within the limit."""


def settle(times: Sequence[int]) -> Warmup:
    """The calls before the median latency of a window of calls stays where it ends.

    Windows are 5 calls long and grow with what lies before them. A call is warm from the first window on of which that
    window, the next, and nine in ten of those that follow lie within 5 % of the median of the last half. The call that
    opened the engine is not among them: it belongs to the cold start.

    Args:
        times: nanoseconds of each call, in order, from the first one of the process.

    >>> settle([900] * 10 + [100] * 90)
    Warmup(calls=10, ms=0.009, settled=True)
    """
    starts = _windows(len(times))
    count = len(starts) - 1
    if count < 4:
        return Warmup(len(times), sum(times) / 1e6, False)
    values = np.asarray(times, dtype=np.float64)
    end = float(np.median(values[len(values) // 2 :]))
    medians = np.array([np.median(values[a:b]) for a, b in pairwise(starts)])
    near = np.abs(medians - end) <= TOLERANCE * end
    for first in range(count - 1):
        if near[first] and near[first + 1] and near[first:].mean() >= 0.9:
            return Warmup(starts[first], sum(times[: starts[first]]) / 1e6, True)
    return Warmup(len(times), sum(times) / 1e6, False)


def _windows(calls: int) -> list[int]:
    """Where windows begin, and where the last whole one ends."""
    starts = [0]
    while (following := starts[-1] + max(SHORTEST, starts[-1] // GROWTH)) <= calls:
        starts.append(following)
    return starts
