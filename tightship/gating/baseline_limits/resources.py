"""Throughput, bytes, memory and cold start in units of the baseline's."""

from artifacts.records.evidence import ArtifactRecord
from tightship.gating.baseline import Figures
from tightship.gating.baseline_limits.base import POINT, BaselineLimit, over, same_load


def throughput(artifact: ArtifactRecord, base: Figures) -> float | None:
    """Examples per second in units of the baseline's."""
    return over(artifact.throughput_per_s, base.throughput_per_s)


def size(artifact: ArtifactRecord, base: Figures) -> float | None:
    """Shipped bytes in units of the baseline's."""
    return over(artifact.bytes, base.bytes)


def peak_rss(artifact: ArtifactRecord, base: Figures) -> float | None:
    """Peak memory in units of the baseline's."""
    return over(artifact.peak_rss_mb, base.peak_rss_mb)


def cold_start(artifact: ArtifactRecord, base: Figures) -> float | None:
    """The first result's time in units of the baseline's."""
    return over(artifact.cold_start_ms, base.cold_start_ms)


def same_batch(artifact: ArtifactRecord, base: Figures) -> str | None:
    """Throughput is compared only of batches of one size."""
    if artifact.throughput_batch != base.throughput_batch:
        return f"this run measured batches of {artifact.throughput_batch}, the baseline of {base.throughput_batch}"
    return same_load(artifact, base)


THROUGHPUT_RATIO = BaselineLimit("baseline_throughput_ratio", throughput, "at least", POINT, True, same_batch)
SIZE_RATIO = BaselineLimit("baseline_size_ratio", size, "at most", " of the baseline's")
PEAK_RSS_RATIO = BaselineLimit("baseline_peak_rss_ratio", peak_rss, "at most", POINT, True, same_load)
COLD_START_RATIO = BaselineLimit("baseline_cold_start_ratio", cold_start, "at most", POINT, True, same_load)
