"""How much slower than the baseline an artifact may be: the one place where runs at different times are compared."""

import math

from artifacts.records.evidence import ArtifactRecord
from artifacts.records.measured import measured_interval
from benchmarks.timing.statistics import Ratio, unpaired_ratio
from tightship.gating.baseline import Figures
from tightship.gating.baseline_limits.base import POINT, BaselineLimit, over, same_load


def speedup_between(artifact: ArtifactRecord, base: Figures) -> Ratio | None:
    """The baseline's latency in units of the artifact's, of two runs: above 1 the artifact is faster.

    Nothing is paired, so the interval is Welch's on the logarithms, from both medians' intervals and their numbers of
    processes. None where either has no interval.
    """
    now = artifact.latency_ms
    ours, theirs = measured_interval(now.ci95), measured_interval(base.latency_ci95_ms)
    if ours is None or theirs is None:
        return None
    found = unpaired_ratio(theirs, base.processes, ours, now.processes)
    return found if math.isfinite(found.high) else None


def latency_ratio(artifact: ArtifactRecord, base: Figures) -> Ratio | None:
    """The artifact's latency in units of the baseline's: `speedup_between` turned over."""
    found = speedup_between(artifact, base)
    return Ratio(1 / found.ratio, 1 / found.high, 1 / found.low) if found else None


def incomparable_reason(artifact: ArtifactRecord, base: Figures) -> str | None:
    """Why two medians cannot be compared, as a phrase; none if they can."""
    for whose, bounds in (("this run", artifact.latency_ms.ci95), ("the baseline", base.latency_ci95_ms)):
        if measured_interval(bounds) is None:
            return f"{whose} has no interval of the median; measure in two or more processes"
    return same_load(artifact, base)


def median(artifact: ArtifactRecord, base: Figures) -> float | None:
    """The upper end of the ratio's interval."""
    found = latency_ratio(artifact, base)
    return found.high if found and math.isfinite(artifact.latency_ms.p50) else None


def p90(artifact: ArtifactRecord, base: Figures) -> float | None:
    """The 90th percentile in units of the baseline's."""
    return over(artifact.latency_ms.p90, base.latency_p90_ms)


def slower_or_unclear(artifact: ArtifactRecord, base: Figures, limit: float) -> str:
    """Whether a failed ratio was shown to be too large, or only not shown to be small enough."""
    found = latency_ratio(artifact, base)
    if found is None:
        return ""
    figures = f"the ratio is {found.ratio:.4g} [{found.low:.4g}, {found.high:.4g}]"
    if found.low > limit:
        return f"; {figures}, so it is slower than allowed"
    return f"; {figures}, so it cannot be told: measure both with more processes, or on a quieter machine"


LATENCY_RATIO = BaselineLimit(
    "baseline_latency_ratio",
    median,
    "at most",
    " of the baseline's (upper end of the 95 % interval)",
    True,
    incomparable_reason,
    slower_or_unclear,
)
P90_RATIO = BaselineLimit("baseline_p90_ratio", p90, "at most", POINT, True, same_load)
