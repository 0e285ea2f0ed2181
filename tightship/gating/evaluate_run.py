"""Judge a finished run again: against the recipe's limits or others, and against the baseline of an earlier run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from artifacts.errors import RequestError
from artifacts.records.evidence import ArtifactRecord, Evidence, FailureRecord, GateRecord, read_evidence
from tightship.gating.baseline import Baseline, baseline_of, read_baseline, write_baseline
from tightship.gating.evaluate import evaluate
from tightship.gating.limits import gather, split
from tightship.gating.relative import judge_relative, refused


@dataclass(frozen=True)
class Gated:
    """A run held against limits."""

    evidence: Evidence
    results: list[tuple[str, GateRecord]]
    """(artifact id, result) for every limit."""
    notes: tuple[str, ...] = ()
    """What was left out or written, and why."""

    @property
    def passed(self) -> bool:
        """Whether something was judged and all of it passed."""
        return bool(self.results) and all(gate.passed for _, gate in self.results)


def regate(folder: Path, limits: list[str], artifact: str | None) -> list[tuple[str, GateRecord]]:
    """(artifact id, result) for every limit; the run's own results when no limits are given.

    Raises:
        RequestError: a limit is malformed or unknown, or the run has no such artifact.
    """
    return judge_run(folder, gather(limits, None), artifact).results


def judge_run(
    folder: Path,
    limits: Mapping[str, float] | None,
    artifact: str | None = None,
    baseline: Path | None = None,
    write: Path | None = None,
) -> Gated:
    """Hold a run against limits, and write its figures to `write` as a baseline if all that was judged passed.

    Absolute limits replace the recipe's; without any, the recipe's own results stand. Relative limits are held against
    `baseline`; a run that is to become the baseline and is given none has nothing to be held against, which a note says.

    Raises:
        RequestError: the run has no such artifact, the baseline cannot be used, or the run cannot become one.
    """
    if artifact and write:
        raise RequestError(
            f"a baseline holds a whole run, so --artifact {artifact} cannot decide it; leave one of the two out."
        )
    evidence = read_evidence(folder / "evidence.json")
    stored = read_baseline(baseline) if baseline else None
    made = baseline_of(evidence) if write else None
    absolute, relative = split(limits or {})
    chosen = [evidence.artifact(artifact)] if artifact else _deciding(evidence)
    first = made is not None and stored is None
    results = []
    for record in chosen:
        gates = _absolute(record, evidence, None if limits is None or (relative and not absolute) else absolute)
        if not first:
            gates += _relative(record, evidence, stored, relative, artifact is not None)
        results += [(record.id, gate) for gate in (*gates, _parity(record))]
    if stored and not artifact:
        results += _covered(evidence, stored)
    if not artifact:
        results += [(failed.id, _failed(failed)) for failed in evidence.failed]
    gated = Gated(evidence, results, _disturbed(evidence) + (_left_out(relative) if first else ()))
    return _adopt(gated, made, write) if made and write else gated


def _absolute(record: ArtifactRecord, evidence: Evidence, limits: Mapping[str, float] | None) -> tuple[GateRecord, ...]:
    if limits is None:
        return record.gates or evaluate(record, record, {})
    return evaluate(record, _reference(evidence), limits)


def _relative(
    record: ArtifactRecord, evidence: Evidence, baseline: Baseline | None, limits: Mapping[str, float], same: bool
) -> tuple[GateRecord, ...]:
    """The relative limits; what ships is held against what shipped for its target, another artifact against itself."""
    if baseline is None:
        return tuple(refused(n, limit, "no baseline was given; pass --baseline FILE") for n, limit in limits.items())
    if not limits:
        why = "a baseline was given but no limit is relative to it; add one such as baseline_latency_ratio=1.1"
        return (GateRecord("limits", 0.0, None, False, why),)
    against = record.id if same else baseline.shipped_for(record.target) or record.id
    return judge_relative(record, against, baseline, evidence.machine, limits)


def _covered(evidence: Evidence, baseline: Baseline) -> list[tuple[str, GateRecord]]:
    """A target for which the baseline ships something must still be served: what is not built cannot regress."""
    served = {evidence.artifact(name).target for name in evidence.verdict.shipped}
    reasons = {n.target: n.reason for n in evidence.not_run}
    results = []
    for name in baseline.shipped:
        target = name.partition("/")[0]
        here = target in served
        why = (
            "ships"
            if here
            else f"ships nothing ({reasons.get(target, 'none of its artifacts passed, or it was not asked for')})"
        )
        reason = f"the baseline ships {name}; for {target} this run {why}"
        results.append((name, GateRecord("baseline_target", 1.0, float(here), here, reason)))
    return results


def _parity(record: ArtifactRecord) -> GateRecord:
    return GateRecord("parity", 0.0, None, record.parity.passed, f"parity: {record.parity.first_bad or 'passed'}")


def _failed(failed: FailureRecord) -> GateRecord:
    asked = {"sensitivity": "ranked", "loop": "looped"}.get(failed.stage, "made")
    return GateRecord(asked, 1.0, 0.0, False, f"failed at {failed.stage}: {failed.reason}")


def _disturbed(evidence: Evidence) -> tuple[str, ...]:
    """Noise widens the intervals that decide; a person who reads them should know of it."""
    noise = evidence.noise
    return (f"others disturbed this run while it measured: {'; '.join(noise.reasons)}",) if noise and noise.disturbed else ()


def _left_out(relative: Mapping[str, float]) -> tuple[str, ...]:
    return (f"not judged, because this run makes the baseline: {', '.join(relative)}",) if relative else ()


def _adopt(gated: Gated, baseline: Baseline, path: Path) -> Gated:
    """Write the baseline if the run passed."""
    if not gated.passed:
        return Gated(gated.evidence, gated.results, (*gated.notes, f"{path} was not written: the run did not pass"))
    write_baseline(baseline, path)
    return Gated(gated.evidence, gated.results, (*gated.notes, f"baseline written: {path}"))


def _deciding(evidence: Evidence) -> list[ArtifactRecord]:
    """What ships, and what made the run fail: a target without anything that passed, or a parity that did not hold."""
    shipped = [evidence.artifact(name) for name in evidence.verdict.shipped]
    served = {a.target for a in shipped}
    ours = [a for a in evidence.artifacts if a.role != "stock"]
    failed = [a for a in ours if not a.parity.passed or (a.verdict == "fail" and a.target not in served)]
    if not shipped and not failed and not evidence.failed:
        raise RequestError(f"run {evidence.name!r} judged nothing, so there is nothing to hold against a limit; list a target.")
    return shipped + failed


def _reference(evidence: Evidence) -> ArtifactRecord:
    for record in evidence.artifacts:
        if record.role == "reference":
            return record
    raise RequestError(f"run {evidence.name!r} has no reference artifact to compare with.")
