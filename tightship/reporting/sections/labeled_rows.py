"""Rows of one target, told apart by their labels: which is faster, in words."""

from artifacts.records.evidence import ArtifactRecord, Evidence
from tightship.reporting.formatting import clean, compared


def row_ratio(record: ArtifactRecord) -> str | None:
    """How a labeled row compares with the first row of its target; None where there is none before it."""
    return None if record.versus_row is None else compared(record.versus_row)


def row_lines(evidence: Evidence) -> list[str]:
    """One sentence for each artifact of a labeled row: faster or slower than the target's first, or not told apart."""
    return [f"{clean(a.id)}: {said}" for a in evidence.artifacts if (said := row_ratio(a))]
