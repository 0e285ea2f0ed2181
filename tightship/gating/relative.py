"""Limits relative to a baseline: what may be compared with it, and how one artifact stands to another of an earlier run."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from artifacts.records.evidence import ArtifactRecord, GateRecord, Machine
from benchmarks.timing.statistics import Ratio, unpaired_ratio
from tightship.gating.baseline import Baseline, Figures
from tightship.gating.gates import check_limit, has_interval

Compare = Callable[[ArtifactRecord, Figures], float | None]
IncomparableReason = Callable[[ArtifactRecord, Figures], str | None]


@dataclass(frozen=True)
class BaselineLimit:
    """How one relative limit is read."""

    value: Compare
    """(artifact, baseline's figures) -> the value that decides."""
    direction: Literal["at most", "at least"]
    unit: str
    timed: bool
    """Holds only on the machine where the baseline was measured."""
    incomparable_reason: IncomparableReason = lambda artifact, base: None
    """Why these two cannot be compared, as a phrase; none if they can."""


def speedup_between(artifact: ArtifactRecord, base: Figures) -> Ratio | None:
    """The baseline's latency in units of the artifact's, of two runs: above 1 the artifact is faster.

    The one place where runs at different times are held against each other. Nothing is paired, so the interval is Welch's
    on the logarithms, from both medians' intervals and their numbers of processes. None where either has no interval.
    """
    now = artifact.latency_ms
    if not (has_interval(now.ci95) and has_interval(base.latency_ci95_ms)):
        return None
    found = unpaired_ratio(base.latency_ci95_ms, base.processes, now.ci95, now.processes)
    return found if math.isfinite(found.high) else None


def latency_ratio(artifact: ArtifactRecord, base: Figures) -> Ratio | None:
    """The artifact's latency in units of the baseline's: `speedup_between` turned over."""
    found = speedup_between(artifact, base)
    return Ratio(1 / found.ratio, 1 / found.high, 1 / found.low) if found else None


def _over(now: float, then: float) -> float | None:
    return now / then if then > 0 else None


def _latency(artifact: ArtifactRecord, base: Figures) -> float | None:
    found = latency_ratio(artifact, base)
    return found.high if found and math.isfinite(artifact.latency_ms.p50) else None


def _same_load(artifact: ArtifactRecord, base: Figures) -> str | None:
    """Calls are compared only where batch and threads are the same."""
    for what, now, then in (
        ("threads", artifact.latency_ms.threads, base.threads),
        ("examples a call", artifact.latency_ms.batch, base.batch),
    ):
        if now != then:
            return f"this run measured with {now} {what}, the baseline with {then}"
    return None


def _intervals(artifact: ArtifactRecord, base: Figures) -> str | None:
    for whose, bounds in (("this run", artifact.latency_ms.ci95), ("the baseline", base.latency_ci95_ms)):
        if not has_interval(bounds):
            return f"{whose} has no interval of the median; measure in two or more processes"
    return _same_load(artifact, base)


def _same_throughput_batch(artifact: ArtifactRecord, base: Figures) -> str | None:
    if artifact.throughput_batch != base.throughput_batch:
        return f"this run measured batches of {artifact.throughput_batch}, the baseline of {base.throughput_batch}"
    return _same_load(artifact, base)


def _same_test_set(artifact: ArtifactRecord, base: Figures) -> str | None:
    if artifact.accuracy.metric != base.metric:
        return f"this run measured {artifact.accuracy.metric}, the baseline {base.metric}"
    if artifact.accuracy.test_sha256 != base.test_sha256:
        return "the baseline was scored on another test set; write it again on this one"
    return None


_POINT = " of the baseline's (a point: it has no interval)"
BASELINE_LIMITS: dict[str, BaselineLimit] = {
    "baseline_accuracy_drop": BaselineLimit(
        lambda a, b: a.accuracy.lost(a.accuracy.deployed, b.accuracy), "at most", " below the baseline's", False, _same_test_set
    ),
    "baseline_latency_ratio": BaselineLimit(
        _latency, "at most", " of the baseline's (upper end of the 95 % interval)", True, _intervals
    ),
    "baseline_p90_ratio": BaselineLimit(
        lambda a, b: _over(a.latency_ms.p90, b.latency_p90_ms), "at most", _POINT, True, _same_load
    ),
    "baseline_throughput_ratio": BaselineLimit(
        lambda a, b: _over(a.throughput_per_s, b.throughput_per_s), "at least", _POINT, True, _same_throughput_batch
    ),
    "baseline_size_ratio": BaselineLimit(lambda a, b: _over(a.bytes, b.bytes), "at most", " of the baseline's", False),
    "baseline_peak_rss_ratio": BaselineLimit(
        lambda a, b: _over(a.peak_rss_mb, b.peak_rss_mb), "at most", _POINT, True, _same_load
    ),
    "baseline_cold_start_ratio": BaselineLimit(
        lambda a, b: _over(a.cold_start_ms, b.cold_start_ms), "at most", _POINT, True, _same_load
    ),
}


def judge_relative(
    artifact: ArtifactRecord, against: str, baseline: Baseline, machine: Machine, limits: Mapping[str, float]
) -> tuple[GateRecord, ...]:
    """One record for each relative limit, the artifact being held against the baseline's artifact `against`."""
    base = baseline.artifacts.get(against)
    if base is None:
        known = ", ".join(sorted(baseline.artifacts))
        why = f"the baseline has no {against} (it has {known}); write it again"
        return tuple(refused(name, limit, why) for name, limit in limits.items())
    return tuple(_one(name, limit, artifact, base, against, baseline, machine) for name, limit in limits.items())


def refused(name: str, limit: float, why: str) -> GateRecord:
    """The record of a limit that could not be judged, which is a failed one."""
    return GateRecord(name, limit, None, False, f"{name} cannot be judged: {why}")


def _one(
    name: str, limit: float, artifact: ArtifactRecord, base: Figures, against: str, baseline: Baseline, machine: Machine
) -> GateRecord:
    how = BASELINE_LIMITS[name]
    if how.timed and machine.fingerprint() != baseline.machine:
        why = f"the baseline comes from another machine ({baseline.machine}); measure the baseline on this machine"
        return refused(name, limit, why)
    why_not = how.incomparable_reason(artifact, base)
    if why_not:
        return refused(name, limit, why_not)
    record = check_limit(name, limit, how.value(artifact, base), how.direction, how.unit)
    more = _interval_note(artifact, base, limit) if name == "baseline_latency_ratio" and not record.passed else ""
    other = f", held against {against}" if against != artifact.id else ""
    return replace(record, reason=f"{record.reason}{other}{more}")


def _interval_note(artifact: ArtifactRecord, base: Figures, limit: float) -> str:
    """Whether a failed ratio was shown to be too large, or only not shown to be small enough."""
    found = latency_ratio(artifact, base)
    if found is None:
        return ""
    figures = f"the ratio is {found.ratio:.4g} [{found.low:.4g}, {found.high:.4g}]"
    if found.low > limit:
        return f"; {figures}, so it is slower than allowed"
    return f"; {figures}, so it cannot be told: measure both with more processes, or on a quieter machine"
