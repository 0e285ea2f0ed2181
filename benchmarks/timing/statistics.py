"""The arithmetic of measurements: quantiles with enough samples, intervals over processes, ratios of paired rounds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

P99_SAMPLES = 1000
"""A 99th percentile needs at least ten samples beyond it."""


Verdict = Literal["faster", "slower", "no difference shown", "cannot tell"]

MARGIN = 0.02
"""Two latencies within 2 % of each other are taken as equal."""


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

    def decide(self, margin: float = MARGIN) -> Verdict:
        """The verdict that tells equal from unknown: no difference is shown only by an interval within the margin."""
        if self.verdict != "no difference shown":
            return self.verdict
        return "no difference shown" if self.low > 1 / (1 + margin) and self.high < 1 + margin else "cannot tell"


def apart(ratio: Ratio, margin: float = MARGIN) -> Verdict:
    """The verdict on two measurements at different times: a difference must exceed the margin, because machines drift."""
    if ratio.low > 1 + margin:
        return "faster"
    if ratio.high < 1 / (1 + margin):
        return "slower"
    return "no difference shown" if ratio.low > 1 / (1 + margin) and ratio.high < 1 + margin else "cannot tell"


def interval(values: Sequence[float], error: float = 0.05) -> tuple[float, float]:
    """The interval of the geometric mean: Student's t on the logarithms, one value per process.

    With few processes a bootstrap calls two equal files different far too often; `docs/results/measuring.md` has the rates.
    With a single value there is no interval: (0, inf) says so.

    Args:
        values: positive, one per process.
        error: how often the interval may miss; 0.05 gives the 95 % interval.

    >>> low, high = interval([1.0, 1.1, 0.9])
    >>> low < 1.0 < high
    True
    """
    if len(values) < 2:
        return 0.0, math.inf
    from scipy.special import stdtrit

    logs = np.log(np.asarray(values))
    half = float(stdtrit(len(logs) - 1, 1 - error / 2)) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    center = float(logs.mean())
    return math.exp(center - half), math.exp(center + half)


def paired_ratio(a: Sequence[float], b: Sequence[float], error: float = 0.05) -> Ratio:
    """The ratio of A's values to B's, paired by the round in which both were measured."""
    return mean_ratio([x / y for x, y in zip(a, b, strict=True)], error)


def mean_ratio(ratios: Sequence[float], error: float = 0.05) -> Ratio:
    """The geometric mean of ratios, one per round, with its interval."""
    low, high = interval(ratios, error)
    return Ratio(math.exp(float(np.mean(np.log(ratios)))), low, high)


def typical_ratio(a: Sequence[float], b: Sequence[float]) -> float:
    """The median of the ratios of A's values to B's, taken side by side: a value that was disturbed spoils its own pair alone.

    >>> round(typical_ratio([2.0, 2.2, 9.0], [1.0, 1.1, 1.0]), 6)
    2.0
    """
    return math.exp(float(np.median(np.log(np.asarray(a) / np.asarray(b)))))


def processes_needed(ratios: Sequence[float], margin: float = MARGIN, error: float = 0.05) -> int | None:
    """About how many processes would decide, if they scatter as these do; none if that cannot be told or is over 10,000.

    The interval must exclude 1, or lie within the margin, whichever this ratio needs fewer processes for.
    """
    from scipy.special import stdtrit

    if len(ratios) < 2:
        return None
    logs = np.log(np.asarray(ratios))
    scatter, center = float(logs.std(ddof=1)), abs(float(logs.mean()))
    wanted = max(center, math.log1p(margin) - center)

    def wide(count: int) -> bool:
        return float(stdtrit(count - 1, 1 - error / 2)) * scatter / math.sqrt(count) >= wanted

    low, high = len(ratios), 10_000
    if wide(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if wide(middle) else (low, middle)
    return low


def unpaired_ratio(a: tuple[float, float], a_processes: int, b: tuple[float, float], b_processes: int) -> Ratio:
    """The ratio of A to B from their own 95 % intervals: Welch's t on the logarithms.

    For two runs at different times: nothing is paired, so the interval is wider than that of one interleaved run.

    Args:
        a: the 95 % interval of A's latency, as `interval` gave it.
        a_processes: how many processes it is over.
        b: that of B.
        b_processes: how many processes that is over.
    """
    from scipy.special import stdtrit

    if min(a_processes, b_processes) < 2 or not all(math.isfinite(v) and v > 0 for v in (*a, *b)):
        center = math.sqrt(a[0] * a[1] / (b[0] * b[1])) if all(v > 0 for v in (*a, *b)) else math.nan
        return Ratio(center, 0.0, math.inf)
    center = (math.log(a[0]) + math.log(a[1]) - math.log(b[0]) - math.log(b[1])) / 2
    parts = []
    for (low, high), count in ((a, a_processes), (b, b_processes)):
        error = math.log(high / low) / 2 / float(stdtrit(count - 1, 0.975))
        parts.append((error * error, count - 1))
    total = sum(square for square, _ in parts)
    if total == 0:
        return Ratio(math.exp(center), math.exp(center), math.exp(center))
    freedom = total * total / sum(square * square / degrees for square, degrees in parts)
    half = float(stdtrit(freedom, 0.975)) * math.sqrt(total)
    return Ratio(math.exp(center), math.exp(center - half), math.exp(center + half))


def quantile(samples: Sequence[float], share: float) -> float | None:
    """A quantile of the samples; none where there are too few to speak of a 99th percentile."""
    if share >= 0.99 and len(samples) < P99_SAMPLES:
        return None
    return float(np.quantile(np.asarray(samples), share))


def curve(samples: Sequence[float]) -> tuple[float, ...]:
    """101 equally spaced quantiles."""
    return tuple(round(float(v), 6) for v in np.quantile(np.asarray(samples), np.linspace(0, 1, 101)))
