"""What was measured on one deployed artifact: parity, accuracy, latency, speed-up, placement."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal


@dataclass(frozen=True)
class ParityRecord:
    """How far the deployed outputs are from those of the model that they were converted from."""

    passed: bool
    against: str
    """The module that the outputs were compared with: `float`, `simulated` (fake-quantized; `7-bit simulated` where the file's
    weights have 7 bits) or one of `rounded weights`."""
    max_error: float
    """Largest absolute difference divided by the spread (standard deviation) of the reference output."""
    rms_error: float
    """Root mean square difference divided by the spread of the reference output."""
    argmax_agreement: float | None
    """Share of real examples whose largest output is the same; none where outputs are not classes."""
    tolerance: str
    """The limit that was applied, in words and numbers."""
    cases: tuple[str, ...]
    """The inputs that were tried: real and random, and which batch sizes."""
    first_bad: str | None = None
    """Where the outputs first depart, when they do."""
    reproducer: str | None = None
    """The folder, in that of the run, whose `repro.py` shows the difference."""
    rms_by_output: Mapping[str, float] = field(default_factory=dict)
    """Of a network with several outputs the root mean square difference of each, by the spread of its own reference."""


Direction = Literal["larger", "smaller"]
"""Which values of a metric are better."""

SHARE = "share"
"""The unit of a metric of 0..1, shown in percent and compared in points."""


Bounds = tuple[float, float | None]
"""The two ends of a 95 % interval; no upper end where one process gave none."""

UNBOUNDED = 1e12
"""The upper end that evidence of earlier versions states where there is none."""


def bounds_of(low: float, high: float) -> Bounds:
    """The two ends of an interval; no upper end where that is infinite.

    >>> bounds_of(0.0, float("inf"))
    (0.0, None)
    """
    return low, high if isfinite(high) else None


def measured_interval(bounds: Bounds) -> tuple[float, float] | None:
    """The interval of a positive quantity, if both its ends were measured.

    >>> measured_interval((0.9, 1.1)), measured_interval((0.9, None))
    ((0.9, 1.1), None)
    """
    low, high = bounds[0], upper_end(bounds)
    return (low, high) if high is not None and 0 < low <= high else None


def upper_end(bounds: Bounds) -> float | None:
    """The upper end of an interval; none where nothing bounds it."""
    high = bounds[1]
    return high if high is not None and high < UNBOUNDED else None


def lost(value: float, reference: float, direction: Direction) -> float:
    """How much worse a value of a metric is than a reference; negative is a gain.

    >>> lost(0.75, 1.0, "larger"), lost(0.75, 1.0, "smaller")
    (0.25, -0.25)
    """
    return reference - value if direction == "larger" else value - reference


@dataclass(frozen=True)
class FurtherMetric:
    """A metric that is reported beside the one that decides."""

    metric: str
    reference: float | None
    deployed: float
    direction: Direction = "larger"
    unit: str = ""


@dataclass(frozen=True)
class AccuracyRecord:
    """The task's metric on the whole evaluation set."""

    metric: str
    reference: float | None
    simulated: float | None
    deployed: float
    examples: int
    test_sha256: str
    direction: Direction = "larger"
    unit: str | None = None
    """`share`, or what stands after the number; none in evidence of versions that did not say."""
    further: tuple[FurtherMetric, ...] = ()
    """Other metrics, which decide nothing."""
    labelled: bool = True
    """Whether the data have targets; without, metrics say how far outputs agree with the reference's."""

    def lost(self, value: float, reference: float) -> float:
        """How much worse a value of this metric is than a reference; negative is a gain."""
        return lost(value, reference, self.direction)


@dataclass(frozen=True)
class LatencyRecord:
    """Warm latency of one call, in milliseconds."""

    p50: float
    p90: float
    p99: float | None
    """None with fewer than 1000 samples."""
    ci95: Bounds
    """95 % interval of the median, over processes."""
    samples: int
    processes: int
    batch: int
    threads: int
    curve: tuple[float, ...]
    """101 equally spaced quantiles, 0..100 %, for plotting."""


@dataclass(frozen=True)
class SpeedupRecord:
    """The latency of a baseline divided by that of this artifact, interleaved in separate processes."""

    baseline: str
    ratio: float
    ci95: Bounds
    verdict: Literal["faster", "slower", "no difference shown"]


@dataclass(frozen=True)
class PlacementRecord:
    """Operators inside and outside the accelerated kernels."""

    accelerated: Mapping[str, int]
    fallback: Mapping[str, int]
    fallback_share: float
    how: str
