"""The timings of a run as evidence says them: latency with its interval, and ratios paired by round."""

from collections.abc import Mapping
from typing import Any

from artifacts.json import read
from artifacts.records.evidence import LatencyRecord, SpeedupRecord
from artifacts.records.noise import NoiseRecord
from benchmarks.timing.answers import ColdStart, Warmed
from benchmarks.timing.measure import Measured
from benchmarks.timing.statistics import curve, interval, quantile
from runtimes.registry import find
from tightship.planning.steps import ArtifactPlan
from tightship.recipe.recipe import Recipe


def measured_of(value: Mapping[str, Any]) -> Measured:
    """The timings of one artifact from what the measure step stored."""
    return Measured(
        value["rounds_ms"], value["slice_calls"], [read(ColdStart, cold) for cold in value["cold_ms"]],
        value["peak_rss_mb"], value["throughput_per_s"], value["rss_load_mb"], value["rss_run_mb"],
        [read(Warmed, warm) for warm in value["warmups"]],
        noise=NoiseRecord.of(value["noise"]) if value["noise"] else None,
    )  # fmt: skip


def threads_of(artifact: ArtifactPlan, recipe: Recipe) -> int:
    """How many threads an artifact is timed with: its target's options come before the recipe's."""
    return find(artifact.target).read_options(artifact.options).threads or recipe.measure.threads


def latency_of(raw: Measured, threads: int) -> LatencyRecord:
    """Percentiles of single calls on this many threads, with the interval of the median over processes."""
    samples = raw.samples
    low, high = interval(raw.medians)
    p50, p90 = quantile(samples, 0.5), quantile(samples, 0.9)
    assert p50 is not None
    assert p90 is not None
    # one process gives no interval; what was seen bounds it from below only, so the widest that JSON can hold is written
    return LatencyRecord(
        p50, p90, quantile(samples, 0.99), (low, min(high, 1e12)), len(samples), len(raw.rounds_ms), 1,
        threads, curve(samples),
    )  # fmt: skip


def ratio_over(artifact: ArtifactPlan, baseline: str | None, measured: Mapping[str, Measured]) -> SpeedupRecord | None:
    """The latency of a baseline of the same run in units of this artifact's, paired by round; none against itself."""
    if baseline is None or baseline not in measured or baseline == artifact.id:
        return None
    ratio = measured[artifact.id].speedup_over(measured[baseline])
    return SpeedupRecord(baseline, ratio.ratio, (ratio.low, min(ratio.high, 1e12)), ratio.verdict)
