"""What this machine's kernels can do at best, and how much of it an artifact and each of its layers reach."""

from dataclasses import dataclass
from typing import Literal

from artifacts.records.noise import NoiseRecord


@dataclass(frozen=True)
class LayerTime:
    """What one layer of a loaded file took, as its runtime tells it."""

    name: str
    """The runtime's own name of what it ran."""
    operator: str
    ms: float
    """Mean over the runs that count."""
    layer: str | None = None
    """The layer of the model that it computes, where the file says so."""
    macs: int | None = None
    """Multiply-accumulates, where the shapes tell them."""
    precision: str | None = None
    """What it multiplies in, such as `fp32` or `int8`, where the runtime says so."""


@dataclass(frozen=True)
class LayerTimes:
    """All layers of a loaded file, in the order in which they ran."""

    layers: tuple[LayerTime, ...]
    runs: int
    """Runs that the means are over."""
    how: str
    """Where the times were read from."""


@dataclass(frozen=True)
class PeakRecord:
    """The best rate of multiply-accumulates that was measured in one precision."""

    target: str
    """The target whose runtime ran it."""
    precision: str
    """`fp32` or `int8`."""
    gmac_per_s: float
    best: str
    """What reached it, such as `3x3 convolution, 256 channels, 28x28`."""
    tried: tuple[str, ...]
    """All that was run, with the rate that each reached."""
    disturbed: tuple[str, ...] = ()
    """What others did during every visit to one of its networks, so that it may be too low; empty: it may be trusted."""


@dataclass(frozen=True)
class BandwidthRecord:
    """Bytes per second of a triad (a = b + s * c) over three arrays."""

    where: Literal["memory", "cache"]
    gb_per_s: float
    megabytes: float
    """Of the three arrays together, in 10^6 bytes."""
    disturbed: tuple[str, ...] = ()
    """What others did in every visit, so that it may be too low."""


@dataclass(frozen=True)
class PeaksRecord:
    """The roofs of this machine, measured beside the artifacts."""

    threads: int
    seconds: float
    """What measuring them took."""
    cache_mb: float | None
    """The last-level cache in 10^6 bytes; none: this system does not say."""
    compute: tuple[PeakRecord, ...]
    bandwidth: tuple[BandwidthRecord, ...]
    noise: NoiseRecord | None = None
    """What else the machine did while these were measured; none: not looked at, by an earlier version."""

    @property
    def disturbed(self) -> tuple[str, ...]:
        """What others did to any of them; empty if all may be trusted."""
        roofs: tuple[PeakRecord | BandwidthRecord, ...] = (*self.compute, *self.bandwidth)
        return tuple(sorted({sign for roof in roofs for sign in roof.disturbed}))


@dataclass(frozen=True)
class LayerCost:
    """One of an artifact's costliest layers."""

    name: str
    operator: str
    layer: str | None
    ms: float
    share: float
    """Of the time of all layers, 0..1."""
    macs: int | None
    peak_share: float | None
    """Its rate of multiply-accumulates in units of the peak; none where either is not known."""


@dataclass(frozen=True)
class RooflineRecord:
    """How much of the roofs one artifact reaches."""

    macs: float | None
    """Of one call; none: not known."""
    bytes_moved: float | None
    """What one call moves at least: weights once, and what its layers read and write, at the artifact's precision."""
    gmac_per_s: float | None
    """Multiply-accumulates of one call by its p50."""
    compute_share: float | None
    """The rate in units of the compute peak."""
    memory_share: float | None
    """The rate in units of what the bandwidth allows."""
    memory: Literal["memory", "cache"] | None
    """Where the bytes lie between calls, by their size: that bandwidth is the one that counts."""
    bound: Literal["compute", "memory"] | None
    """The lower of the two roofs."""
    peak_target: str | None
    """The target whose runtime measured the compute peak."""
    peak_precision: str | None
    """What the layers multiply in."""
    reasons: tuple[str, ...]
    """Why figures are missing or to be read with care."""
    layers: tuple[LayerCost, ...]
    """The ten costliest, from the costliest."""
    layer_count: int
    """How many layers ran in all."""
    layers_ms: float | None
    """The time of all of them; the rest of the latency is spent between them."""
    light_share: float | None
    """The share of that time in layers that multiply nothing: additions, activations, changes of layout."""
    layers_how: str
    """Where their times were read from, or why there are none."""
