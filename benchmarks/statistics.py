"""The arithmetic of measurements: quantiles with enough samples, intervals over processes, ratios of paired rounds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

P99_SAMPLES = 1000
"""A 99th percentile needs at least ten samples beyond it."""


@dataclass(frozen=True)
class Ratio:
    """How many times slower A is than B."""

    ratio: float
    low: float
    high: float

    @property
    def verdict(self) -> Literal["faster", "slower", "no difference shown"]:
        """What may be said of B: the interval must exclude 1."""
        if self.low > 1:
            return "faster"
        if self.high < 1:
            return "slower"
        return "no difference shown"


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the geometric mean: Student's t on the logarithms, one value per process.

    With a single value there is no interval: (0, inf) says so.

    >>> low, high = interval([1.0, 1.1, 0.9])
    >>> low < 1.0 < high
    True
    """
    if len(values) < 2:
        return 0.0, math.inf
    from scipy.special import stdtrit

    logs = np.log(np.asarray(values))
    half = float(stdtrit(len(logs) - 1, 0.975)) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    centre = float(logs.mean())
    return math.exp(centre - half), math.exp(centre + half)


def paired_ratio(a: Sequence[float], b: Sequence[float]) -> Ratio:
    """The ratio of A's medians to B's, paired by the round in which both were measured."""
    ratios = [x / y for x, y in zip(a, b, strict=True)]
    low, high = interval(ratios)
    return Ratio(math.exp(float(np.mean(np.log(ratios)))), low, high)


def quantile(samples: Sequence[float], share: float) -> float | None:
    """A quantile of the samples; none where there are too few to speak of a 99th percentile."""
    if share >= 0.99 and len(samples) < P99_SAMPLES:
        return None
    return float(np.quantile(np.asarray(samples), share))


def curve(samples: Sequence[float]) -> tuple[float, ...]:
    """101 equally spaced quantiles."""
    return tuple(round(float(v), 6) for v in np.quantile(np.asarray(samples), np.linspace(0, 1, 101)))
