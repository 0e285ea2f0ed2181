"""The verdict of a run: which artifacts ship, and why or why not."""

from dataclasses import replace

from artifacts.records.evidence import ArtifactRecord, FailureRecord, Verdict


def decide(
    artifacts: tuple[ArtifactRecord, ...], failures: tuple[FailureRecord, ...] = ()
) -> tuple[tuple[ArtifactRecord, ...], Verdict]:
    """Give every artifact its verdict; on each target the fastest that passed ships.

    The run passes when every target that can ship has an artifact that passed, no conversion failed its parity, and
    everything that was asked for could be made, checked and measured.
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
    absent = [failed for failed in failures if failed.missing]
    reasons += [f"{failed.id} failed at {failed.stage}: {failed.reason}" for failed in failures if not failed.missing]
    missing_only = bool(absent) and not reasons
    reasons += [failed.reason for failed in absent]
    if not shipped and not reasons:
        reasons.append("no target can ship: list a target other than the PyTorch reference")
    passed = not reasons
    if passed:
        reasons = [f"{a.id} met its {len(a.gates)} gates" if len(a.gates) != 1 else f"{a.id} met its gate" for a in shipped]
    best_id = min(shipped, key=lambda a: a.latency_ms.p50).id if shipped else None
    return tuple(judged), Verdict(passed, tuple(a.id for a in shipped), best_id, tuple(reasons), missing_only)


def _why(artifacts: list[ArtifactRecord], target: str) -> str:
    failed = [(a, g) for a in artifacts if a.target == target for g in a.gates if not g.passed]
    parity = [a for a in artifacts if a.target == target and not a.parity.passed]
    if failed:
        return "; ".join(f"{a.precision}: {g.reason}" for a, g in failed)
    return "; ".join(f"{a.precision}: parity" for a in parity)
