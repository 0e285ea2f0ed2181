"""The metrics beside the one that decides, and how far each output of a network with several is from its own reference."""

from collections.abc import Mapping, Sequence

from artifacts.records.evidence import AccuracyRecord, ArtifactRecord, Evidence, FurtherMetric
from tightship.reporting.escaping import escape
from tightship.reporting.formatting import clean, number
from tightship.reporting.pages import TEMPLATES
from tightship.reporting.scores import score
from tightship.reporting.sections.base import Section

Row = tuple[str, ...]

NOTED = 1e-3
"""Difference between calls, in spreads, above which it is shown: rounding is far below."""

COMPANY = ["in calls of 1 to 7 examples", "with other padding"]


def further(evidence: Evidence) -> list[Row]:
    """A row an artifact: its id, and each further metric as deployed."""
    names = _names(evidence)
    return [(a.id, *(_value(a, name) for name in names)) for a in evidence.artifacts]


def apart(evidence: Evidence) -> list[Row]:
    """A row an artifact of a network with several outputs: its id, and the RMS error of each in units of its spread."""
    outputs = _outputs(evidence)
    return [(a.id, *(number(a.parity.rms_by_output.get(name)) for name in outputs)) for a in _several(evidence)]


def company(evidence: Evidence) -> list[Row]:
    """A row an artifact whose answers were compared in other company: between calls, and with other padding."""
    return [(a.id, number(a.invariance.batch), number(a.invariance.padding)) for a in evidence.artifacts if a.invariance]


def _depends(evidence: Evidence) -> bool:
    """Whether that is worth a table: some answer depends on its company, or there is a mask to be heeded."""
    found = [a.invariance for a in evidence.artifacts if a.invariance]
    return any(one.padding is not None or (one.batch or 0) >= NOTED for one in found)


def _several(evidence: Evidence) -> list[ArtifactRecord]:
    return [a for a in evidence.artifacts if a.parity.rms_by_output]


def _outputs(evidence: Evidence) -> list[str]:
    return list(dict.fromkeys(name for a in _several(evidence) for name in a.parity.rms_by_output))


def _names(evidence: Evidence) -> list[str]:
    return list(dict.fromkeys(one.metric for a in evidence.artifacts for one in a.accuracy.further))


def _value(artifact: ArtifactRecord, name: str) -> str:
    found = next((one for one in artifact.accuracy.further if one.metric == name), None)
    return score(found.deployed, _as_accuracy(found)) if found else number(None)


def _as_accuracy(one: FurtherMetric) -> AccuracyRecord:
    return AccuracyRecord(one.metric, one.reference, None, one.deployed, 0, "", one.direction, one.unit)


def _unlabelled(evidence: Evidence) -> bool:
    return any(not a.accuracy.labelled for a in evidence.artifacts)


def _tables(evidence: Evidence) -> list[tuple[str, list[str], list[Row]]]:
    """Title, heads of the columns beside the artifact's, and rows; none that has no columns."""
    made = [("Further metric, as deployed", _names(evidence), further(evidence))]
    made.append(("RMS error by output, in spreads of its reference", _outputs(evidence), apart(evidence)))
    if _depends(evidence):
        made.append(("Difference of the same answer, in spreads", COMPANY, company(evidence)))
    return [(title, heads, rows) for title, heads, rows in made if heads]


def _data(evidence: Evidence) -> Mapping[str, object]:
    return {"tables": _tables(evidence), "note": NO_LABELS if _unlabelled(evidence) else ""}


def _shown(evidence: Evidence) -> bool:
    return bool(_tables(evidence)) or _unlabelled(evidence)


NO_LABELS = "The data have no labels: metrics say how far outputs agree with the reference's, not whether they are right."


def _markdown(evidence: Evidence) -> Sequence[str]:
    if not _shown(evidence):
        return ()
    parts = [f"### {OUTPUTS.heading}", *([NO_LABELS] if _unlabelled(evidence) else [])]
    for title, heads, rows in _tables(evidence):
        lines = [f"| {title} | {' | '.join(escape(clean(head)) for head in heads)} |", "|" + " --- |" * (len(heads) + 1)]
        lines += ["| " + " | ".join(escape(clean(cell)) for cell in row) + " |" for row in rows]
        parts.append("\n".join(lines))
    return parts


OUTPUTS = Section(
    "outputs",
    "Outputs",
    "Further metrics and outputs",
    720,
    TEMPLATES / "sections" / "outputs.html.j2",
    data=_data,
    shown=_shown,
    markdown=_markdown,
)
