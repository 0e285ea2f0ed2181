"""What single calls cost besides their latency: energy, and what the task does before and after the network."""

from dataclasses import dataclass
from typing import Literal

from artifacts.records.measured import Bounds


@dataclass(frozen=True)
class PowerSource:
    """A counter of energy that could be read."""

    name: str
    """Such as `RAPL package-0`."""
    device: Literal["cpu", "cuda"]
    idle_w: float
    """What it counted before the measurement, while nothing of ours ran, in watts."""


@dataclass(frozen=True)
class PowerRecord:
    """Where the energy of a measurement was read."""

    sources: tuple[PowerSource, ...]
    reason: str | None
    """Why there is none, or why some could not be read; none: all were read."""


@dataclass(frozen=True)
class EnergyRecord:
    """The energy of one call, all counters of the devices that it ran on together."""

    mj: float
    """Millijoules, with what the machine takes when it idles: mean power while called, times the mean latency."""
    ci95: Bounds
    """95 % interval, over processes."""
    above_idle_mj: float
    """The same less the idle power."""
    watts: float
    """Mean power while it was called."""
    sources: tuple[str, ...]


@dataclass(frozen=True)
class PartRecord:
    """One part of a call from the raw example to the label, in milliseconds."""

    p50: float
    p50_ci95: Bounds
    """Of the median, over processes."""
    p90: float
    p90_ci95: Bounds


@dataclass(frozen=True)
class EndToEndRecord:
    """Single calls from the raw example to the label, one after the other in the process that holds the engine."""

    pre: PartRecord
    """From the raw example to the input tensor."""
    inference: PartRecord
    post: PartRecord
    """From the output tensor to the likeliest labels with their shares."""
    whole: PartRecord
    samples: int
    processes: int
    raw: str
    """What comes in, such as `uint8 1x3x32x32`."""
    labels: int
    """How many of the likeliest come out."""
