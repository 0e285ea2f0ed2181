"""Judge a finished run again, against the recipe's limits or others."""

from pathlib import Path

from artifacts.errors import RequestError, nearest
from artifacts.evidence import ArtifactRecord, Evidence, GateRecord, read_evidence
from tightship.gate import GATES, judge


def regate(folder: Path, limits: list[str], artifact: str | None) -> list[tuple[str, GateRecord]]:
    """(artifact id, result) for every limit; the run's own results when no limits are given.

    Raises:
        RequestError: a limit is malformed or unknown, or the run has no such artifact.
    """
    evidence = read_evidence(folder / "evidence.json")
    chosen = [evidence.artifact(artifact)] if artifact else _deciding(evidence)
    wanted = dict(parse_limit(text) for text in limits)
    results = []
    for record in chosen:
        gates = judge(record, _reference(evidence), wanted) if wanted else record.gates or judge(record, record, {})
        parity = GateRecord("parity", 0.0, None, record.parity.passed, f"parity: {record.parity.first_bad or 'passed'}")
        results += [(record.id, gate) for gate in (*gates, parity)]
    return results


def parse_limit(text: str) -> tuple[str, float]:
    """`latency_p90_ms=5` as a name and a number."""
    name, equals, value = text.partition("=")
    if name not in GATES:
        raise RequestError(f"unknown limit {name!r}; {nearest(name, GATES)}.")
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not equals or number != number or number in (float("inf"), float("-inf")):
        raise RequestError(f"limit {text!r} is not NAME=NUMBER.")
    return name, number


def _deciding(evidence: Evidence) -> list[ArtifactRecord]:
    """What ships, and what made the run fail: a target without anything that passed, or a parity that did not hold."""
    shipped = [evidence.artifact(name) for name in evidence.verdict.shipped]
    served = {a.target for a in shipped}
    ours = [a for a in evidence.artifacts if a.role != "stock"]
    failed = [a for a in ours if not a.parity.passed or (a.verdict == "fail" and a.target not in served)]
    if not shipped and not failed:
        raise RequestError(f"run {evidence.name!r} judged nothing, so there is nothing to hold against a limit; list a target.")
    return shipped + failed


def _reference(evidence: Evidence) -> ArtifactRecord:
    for record in evidence.artifacts:
        if record.role == "reference":
            return record
    raise RequestError(f"run {evidence.name!r} has no reference artifact to compare with.")
