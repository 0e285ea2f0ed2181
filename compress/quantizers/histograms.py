"""Histograms that grow with what they see, so that one pass over the calibration data is enough."""

import math

import numpy as np
from numpy.typing import NDArray

BINS = 4096
"""Between half of these and all of them are in use: widths double when a value does not fit."""

CHUNK = 1 << 16
"""Values binned at a time: the work arrays then stay in the cache."""


class Histogram:
    """Counts of values in bins of one width; edges are whole multiples of the width, so zero is always an edge.

    The width is a power of two. When a value does not fit, neighboring bins are merged, which loses no count.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.int64)
        self.low, self.high = math.inf, -math.inf
        """The smallest and the largest value seen, exactly."""
        self.width = 0.0
        self.first = 0
        """The lower edge of the first bin, in widths."""

    def add(self, values: NDArray[np.floating], low: float, high: float) -> None:
        """Count an array of any shape, whose smallest and largest value are given: finite, and already known."""
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._make_room()
        flat = values.reshape(-1)
        for start in range(0, len(flat), CHUNK):
            place = flat[start : start + CHUNK] * (1 / self.width)
            place -= self.first
            found = np.bincount(place.astype(np.intp).clip(0, BINS - 1), minlength=BINS)
            self.counts += found

    def _make_room(self) -> None:
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        if not self.width:
            self.width = 2.0 ** (math.ceil(math.log2(max(high - low, 1e-30))) - int(math.log2(BINS)))
            self.first = math.floor(low / self.width)
        width = self.width
        while math.floor(high / width) - math.floor(low / width) >= BINS:
            width *= 2
        first = math.floor(low / width)
        if (width, first) == (self.width, self.first):
            return
        used = np.flatnonzero(self.counts)
        moved = (used + self.first) // round(width / self.width) - first
        counts = np.zeros(BINS, np.int64)
        np.add.at(counts, moved, self.counts[used])
        self.counts, self.width, self.first = counts, width, first

    @property
    def edges(self) -> NDArray[np.float64]:
        """The lower edges of the bins, and the upper one of the last: (BINS + 1,)."""
        return (self.first + np.arange(BINS + 1, dtype=np.float64)) * np.float64(self.width)

    @property
    def magnitudes(self) -> NDArray[np.int64]:
        """The histogram of the absolute values, from zero up, without empty bins at its end."""
        zero = -self.first
        above, below = self.counts[zero:], self.counts[:zero][::-1]
        made = np.zeros(max(len(above), len(below)), np.int64)
        made[: len(above)] += above
        made[: len(below)] += below
        used = np.flatnonzero(made)
        return made[: used[-1] + 1] if len(used) else made[:1]
