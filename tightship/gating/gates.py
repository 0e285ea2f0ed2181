"""Hold measured values against limits: each has a direction, and a missing or undefined value fails."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from artifacts.records.evidence import ArtifactRecord, GateRecord, NotRun, Verdict
from tightship.recipe.recipe import Recipe


@dataclass(frozen=True)
class Gate:
    """How one limit is read."""

    value: Callable[[ArtifactRecord, ArtifactRecord], float | None]
    """(artifact, reference) -> the value that decides."""
    direction: Literal["at most", "at least"]
    unit: str = ""
    lack: str = ""
    """Why there may be no value, and what mends it."""


NO_INTERVAL = 1e12
"""The upper end that the evidence states where one process gave no interval."""


def _drop(artifact: ArtifactRecord, reference: ArtifactRecord) -> float:
    return artifact.accuracy.lost(artifact.accuracy.deployed, reference.accuracy.deployed)


def _at_least(artifact: ArtifactRecord, reference: ArtifactRecord) -> float | None:
    return artifact.accuracy.deployed if artifact.accuracy.direction == "larger" else None


def _median(artifact: ArtifactRecord, reference: ArtifactRecord) -> float | None:
    latency = artifact.latency_ms
    shown = math.isfinite(latency.p50) and has_interval(latency.ci95)
    return max(latency.p50, latency.ci95[1]) if shown else None


def has_interval(bounds: tuple[float, float]) -> bool:
    """Whether these are the two ends of a measured interval of a positive quantity."""
    low, high = bounds
    return 0 < low <= high < NO_INTERVAL


def _speedup(artifact: ArtifactRecord, reference: ArtifactRecord) -> float | None:
    # the lower end of the interval: what has been shown, not what was seen
    return artifact.speedup.ci95[0] if artifact.speedup else None


def _stock_latency(artifact: ArtifactRecord, reference: ArtifactRecord) -> float | None:
    low = artifact.versus_stock.ci95[0] if artifact.versus_stock else 0.0
    return 1 / low if low > 0 else None


GATES: dict[str, Gate] = {
    "accuracy_drop": Gate(_drop, "at most"),
    "accuracy_min": Gate(_at_least, "at least", lack="smaller values of this metric are better"),
    "latency_p50_ms": Gate(
        _median, "at most", " ms (upper end of the 95 % interval)", "an interval needs two or more processes"
    ),
    "latency_p90_ms": Gate(lambda a, r: a.latency_ms.p90, "at most", " ms (a point: it has no interval)"),
    "latency_p99_ms": Gate(
        lambda a, r: a.latency_ms.p99, "at most", " ms (a point: it has no interval)", "it needs 1000 samples or more"
    ),
    "size_mb": Gate(lambda a, r: a.bytes / 1e6, "at most", " MB"),
    "size_ratio": Gate(lambda a, r: a.bytes / r.bytes, "at most"),
    "speedup": Gate(_speedup, "at least", "x (lower end of the 95 % interval)"),
    "stock_latency": Gate(_stock_latency, "at most", " of the stock file's (upper end of the 95 % interval)"),
    "peak_rss_mb": Gate(lambda a, r: a.peak_rss_mb, "at most", " MB"),
    "cold_start_ms": Gate(lambda a, r: a.cold_start_ms, "at most", " ms"),
    "fallback_share": Gate(lambda a, r: a.placement.fallback_share, "at most"),
}


def evaluate(artifact: ArtifactRecord, reference: ArtifactRecord, limits: Mapping[str, float]) -> tuple[GateRecord, ...]:
    """One record for each limit; an empty list of limits is a failed one."""
    if not limits:
        return (GateRecord("limits", 0.0, None, False, "there is no limit to hold the artifact against"),)
    return tuple(_one(name, limit, GATES[name].value(artifact, reference)) for name, limit in limits.items())


def _one(name: str, limit: float, value: float | None) -> GateRecord:
    gate = GATES[name]
    return check_limit(name, limit, value, gate.direction, gate.unit, gate.lack)


def check_limit(
    name: str, limit: float, value: float | None, direction: Literal["at most", "at least"], unit: str = "", lack: str = ""
) -> GateRecord:
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


def decide(
    artifacts: tuple[ArtifactRecord, ...], not_run: tuple[NotRun, ...], recipe: Recipe
) -> tuple[tuple[ArtifactRecord, ...], Verdict]:
    """Give every artifact its verdict; on each target the fastest that passed ships.

    The run passes when every target that can ship has an artifact that passed, and no conversion failed its parity.
    """
    judged = list(artifacts)
    shipped: list[ArtifactRecord] = []
    reasons: list[str] = []
    for name in dict.fromkeys(a.target for a in judged):
        passing = [a for a in judged if a.target == name and a.verdict == "pass"]
        if passing:
            best = min(passing, key=lambda a: a.latency_ms.p50)
            judged[judged.index(best)] = replace(best, verdict="ship")
            shipped.append(best)
        elif any(a.target == name and a.verdict == "fail" for a in judged):
            reasons.append(f"no artifact for {name} passed: {_why(judged, name)}")
    for artifact in judged:
        if not artifact.parity.passed and artifact.role != "stock":
            reasons.append(f"{artifact.id} failed parity: {artifact.parity.first_bad}")
        broken = [g for g in artifact.gates if g.name == "guard" and not g.passed]
        if broken and any(a.target == artifact.target for a in shipped):
            # a float file may ship in its place, but what was asked of the guard does not hold
            reasons.append(f"{artifact.id} failed its guard: {broken[0].reason}")
    if not shipped and not reasons:
        reasons.append("no target can ship: list a target other than the PyTorch reference")
    passed = not reasons
    if passed:
        reasons = [f"{a.id} met its {len(a.gates)} gates" if len(a.gates) != 1 else f"{a.id} met its gate" for a in shipped]
    best_id = min(shipped, key=lambda a: a.latency_ms.p50).id if shipped else None
    return tuple(judged), Verdict(passed, tuple(a.id for a in shipped), best_id, tuple(reasons))


def _why(artifacts: list[ArtifactRecord], target: str) -> str:
    failed = [(a, g) for a in artifacts if a.target == target for g in a.gates if not g.passed]
    parity = [a for a in artifacts if a.target == target and not a.parity.passed]
    if failed:
        return "; ".join(f"{a.precision}: {g.reason}" for a, g in failed)
    return "; ".join(f"{a.precision}: parity" for a in parity)
