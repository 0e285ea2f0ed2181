"""Limits on memory, on the cold start, and on operators outside the accelerated kernels."""

from artifacts.records.evidence import ArtifactRecord
from tightship.gating.gates.base import Gate


def peak_rss(artifact: ArtifactRecord, reference: ArtifactRecord) -> float:
    """In MB of 10^6 bytes."""
    return artifact.peak_rss_mb


def cold_start(artifact: ArtifactRecord, reference: ArtifactRecord) -> float:
    """In ms."""
    return artifact.cold_start_ms


def fallback(artifact: ArtifactRecord, reference: ArtifactRecord) -> float:
    """A share of operators, 0..1."""
    return artifact.placement.fallback_share


PEAK_RSS_MB = Gate(
    "peak_rss_mb",
    peak_rss,
    "at most",
    "Largest peak resident set of the process that runs the engine, in MB of 10^6 bytes.",
    100.0,
    " MB",
    above=0,
)
COLD_START_MS = Gate(
    "cold_start_ms",
    cold_start,
    "at most",
    "Longest time in ms from starting the process to the first result, the mean over processes.",
    500.0,
    " ms",
    above=0,
)
FALLBACK_SHARE = Gate(
    "fallback_share",
    fallback,
    "at most",
    "Largest share of operators outside the accelerated kernels.",
    0.0,
    least=0,
    most=1,
)
