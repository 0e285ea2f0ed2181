"""Hold measured values against limits: each has a direction, and a missing or undefined value fails."""

import math
from collections.abc import Mapping

from artifacts.records.evidence import ArtifactRecord, GateRecord
from tightship.gating.gates import GATES
from tightship.gating.gates.base import Side


def evaluate(artifact: ArtifactRecord, reference: ArtifactRecord, limits: Mapping[str, float]) -> tuple[GateRecord, ...]:
    """One record for each limit; an empty list of limits is a failed one."""
    if not limits:
        return (GateRecord("limits", 0.0, None, False, "there is no limit to hold the artifact against"),)
    return tuple(_one(name, limit, GATES.find(name).value(artifact, reference)) for name, limit in limits.items())


def _one(name: str, limit: float, value: float | None) -> GateRecord:
    gate = GATES.find(name)
    return check_limit(name, limit, value, gate.direction, gate.unit, gate.lack)


def check_limit(name: str, limit: float, value: float | None, direction: Side, unit: str = "", lack: str = "") -> GateRecord:
    """One value against one limit; a value that is missing or no finite number has not met it, nor has any such a limit."""
    if value is None or not math.isfinite(value) or not math.isfinite(limit):
        why = f" ({lack})" if lack and math.isfinite(limit) else ""
        return GateRecord(name, limit, None, False, f"{name} was not measured{why}, so its limit {limit:g} cannot be met")
    # half a unit in the last place of the arithmetic that made the value, so that 0.01 meets 0.01
    slack = 1e-9 * max(1.0, abs(limit))
    passed = value <= limit + slack if direction == "at most" else value >= limit - slack
    return GateRecord(name, limit, value, passed, f"{name} is {value:.4g}{unit}, limit {direction} {limit:g}")


def guard_gate(artifact: ArtifactRecord) -> tuple[GateRecord, ...]:
    """The accuracy guard's own gate: a candidate met the budget on held-out examples, and its file does on the test set."""
    guard = artifact.guard
    if guard is None:
        return ()
    value = artifact.accuracy.lost(artifact.accuracy.deployed, guard.float_test)
    kept = value <= guard.budget + 1e-9
    lost = f"lost {value:.4g} on the test set, limit at most {guard.budget:g}"
    if guard.met:
        return (GateRecord("guard", guard.budget, value, kept, f"{guard.chosen}: {lost}"),)
    tried = sum(candidate.metric is not None for candidate in guard.candidates)
    reason = (
        f"none of {tried} candidates met {guard.budget:g} on {guard.held_out:,} held-out examples; "
        f"the best, {guard.chosen!r}, {lost}; it is kept at {artifact.main}"
    )
    return (GateRecord("guard", guard.budget, value, False, reason),)
