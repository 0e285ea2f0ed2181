"""What the steps that time files say of their work."""

from collections.abc import Mapping
from dataclasses import dataclass

from artifacts.records.calls import EndToEndRecord, EnergyRecord, PowerRecord
from artifacts.records.loop import LoopRecord
from artifacts.records.noise import NoiseRecord
from artifacts.records.roofline import LayerTimes, PeaksRecord
from benchmarks.process.answers import ColdStart, Warmed
from benchmarks.timing.measure import Measured
from tightship.pipeline.stages.results import Details


@dataclass(frozen=True)
class LoopResult:
    """What a file does when it is called in a loop."""

    summary: str
    record: LoopRecord

    def metrics(self) -> dict[str, float]:
        """See `StageResult`."""
        return {}

    def details(self) -> Details:
        """See `StageResult`; it stands with the artifact."""
        return {}


@dataclass(frozen=True)
class Timing:
    """Raw timings of one file; all times in milliseconds, memory in MB of 10^6 bytes, one entry per process."""

    rounds_ms: list[list[float]]
    slice_calls: list[list[int]]
    cold_ms: list[ColdStart]
    peak_rss_mb: list[float]
    throughput_per_s: float
    rss_load_mb: list[float]
    rss_run_mb: list[float]
    warmups: list[Warmed]
    noise: NoiseRecord | None
    layers: LayerTimes
    energy: EnergyRecord | None = None
    end_to_end: EndToEndRecord | None = None

    def measured(self) -> Measured:
        """These as what intervals and ratios are computed from."""
        return Measured(
            self.rounds_ms, self.slice_calls, self.cold_ms, self.peak_rss_mb, self.throughput_per_s,
            self.rss_load_mb, self.rss_run_mb, self.warmups, noise=self.noise,
        )  # fmt: skip

    def time_shares(self) -> dict[str, float]:
        """The share of the time of all layers that each layer of the network took, where the runtime tells both."""
        total = sum(one.ms for one in self.layers.layers)
        shares: dict[str, float] = {}
        for one in self.layers.layers:
            if one.layer is not None and total:
                shares[one.layer] = shares.get(one.layer, 0.0) + one.ms / total
        return shares


@dataclass(frozen=True)
class MeasureResult:
    """What was measured of all files, interleaved."""

    summary: str
    timings: Mapping[str, Timing]
    """Every file by its name."""
    peaks: PeaksRecord | None
    power: PowerRecord
    no_end_to_end: str | None
    """Why no calls from the raw example to the label were timed."""

    def metrics(self) -> dict[str, float]:
        """See `StageResult`."""
        return {}

    def details(self) -> Details:
        """See `StageResult`; what a reader needs of the timings stands with each artifact."""
        return {}
