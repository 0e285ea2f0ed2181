"""Limits on the latency of a call, and on ratios of latencies."""

import math

from artifacts.records.evidence import ArtifactRecord
from artifacts.records.measured import measured_interval
from tightship.gating.gates.base import Gate

_POINT = " ms (a point: it has no interval)"


def median(artifact: ArtifactRecord, reference: ArtifactRecord) -> float | None:
    """The upper end of the median's interval: what has been shown, not what was seen."""
    latency, bounds = artifact.latency_ms, measured_interval(artifact.latency_ms.ci95)
    return max(latency.p50, bounds[1]) if bounds and math.isfinite(latency.p50) else None


def p90(artifact: ArtifactRecord, reference: ArtifactRecord) -> float | None:
    """The 90th percentile."""
    return artifact.latency_ms.p90


def p99(artifact: ArtifactRecord, reference: ArtifactRecord) -> float | None:
    """The 99th percentile."""
    return artifact.latency_ms.p99


def speedup(artifact: ArtifactRecord, reference: ArtifactRecord) -> float | None:
    """The lower end of the ratio's interval."""
    return artifact.speedup.ci95[0] if artifact.speedup else None


def stock_latency(artifact: ArtifactRecord, reference: ArtifactRecord) -> float | None:
    """The upper end of the share's interval: one over the lower end of the speed-up's."""
    low = artifact.versus_stock.ci95[0] if artifact.versus_stock else 0.0
    return 1 / low if low > 0 else None


LATENCY_P50_MS = Gate(
    "latency_p50_ms",
    median,
    "at most",
    "Largest median latency in ms, at batch 1; the upper end of its 95 % interval decides.",
    2.0,
    " ms (upper end of the 95 % interval)",
    "an interval needs two or more processes",
    above=0,
)
LATENCY_P90_MS = Gate(
    "latency_p90_ms",
    p90,
    "at most",
    "Largest 90th percentile of the latency in ms, at batch 1: a point, without an interval.",
    5.0,
    _POINT,
    above=0,
)
LATENCY_P99_MS = Gate(
    "latency_p99_ms",
    p99,
    "at most",
    "Largest 99th percentile of the latency in ms, at batch 1: a point, which needs 1000 samples or more.",
    10.0,
    _POINT,
    "it needs 1000 samples or more",
    above=0,
)
SPEEDUP = Gate(
    "speedup",
    speedup,
    "at least",
    "Least speed-up over the reference in PyTorch eager; the lower end of its 95 % interval decides.",
    3.0,
    "x (lower end of the 95 % interval)",
    above=0,
)
STOCK_LATENCY = Gate(
    "stock_latency",
    stock_latency,
    "at most",
    "Largest share of the latency of the target's stock int8 file; the upper end of its 95 % interval decides.",
    0.65,
    " of the stock file's (upper end of the 95 % interval)",
    above=0,
)
