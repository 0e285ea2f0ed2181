"""Whether two tools that take turns find the same latency."""

from collections.abc import Sequence

import numpy as np

from benchmarks.statistics import Ratio

DRAWS = 10_000


def agreement(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """The lower quartile of our medians over that of theirs, one of each for a round, and its 95 % interval.

    What slows a virtual machine for seconds at a time from outside, as a neighbour on its core may, cannot be seen from
    inside, only ever adds, and hits one tool or the other. The interval is a bootstrap over rounds (Efron 1979).
    """
    pairs = np.array([ours, theirs], dtype=float)
    drawn = np.random.default_rng(0).integers(0, pairs.shape[1], (DRAWS, pairs.shape[1]))
    quartiles = np.quantile(pairs[:, drawn], 0.25, axis=2)
    low, high = np.quantile(quartiles[0] / quartiles[1], [0.025, 0.975])
    ratio = np.quantile(pairs[0], 0.25) / np.quantile(pairs[1], 0.25)
    return Ratio(float(ratio), float(low), float(high))
