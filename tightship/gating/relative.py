"""Hold an artifact against one of an earlier run."""

from collections.abc import Mapping
from dataclasses import replace

from artifacts.records.evidence import ArtifactRecord, GateRecord, Machine
from tightship.gating.baseline import Baseline, Figures
from tightship.gating.baseline_limits import BASELINE_LIMITS
from tightship.gating.evaluate import check_limit


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
    how = BASELINE_LIMITS.find(name)
    if how.timed and machine.fingerprint() != baseline.machine:
        why = f"the baseline comes from another machine ({baseline.machine}); measure the baseline on this machine"
        return refused(name, limit, why)
    why_not = how.incomparable_reason(artifact, base)
    if why_not:
        return refused(name, limit, why_not)
    unit = how.unit if isinstance(how.unit, str) else how.unit(artifact)
    record = check_limit(name, limit, how.value(artifact, base), how.direction, unit)
    more = "" if record.passed else how.note(artifact, base, limit)
    other = f", held against {against}" if against != artifact.id else ""
    return replace(record, reason=f"{record.reason}{other}{more}")
