"""Files called in a loop: steps per second, and how the error grows over the steps."""

from collections.abc import Mapping, Sequence

from artifacts.records.evidence import ArtifactRecord, Evidence
from artifacts.records.loop import LoopRecord
from tightship.reporting.escaping import escape
from tightship.reporting.formatting import clean, number, percent
from tightship.reporting.pages import TEMPLATES
from tightship.reporting.sections.base import Section

SHOWN = 5
"""Steps whose errors are shown, spread over the loop."""

Looped = tuple[ArtifactRecord, LoopRecord]


def _looped(evidence: Evidence) -> list[Looped]:
    return [(a, a.loop) for a in evidence.artifacts if a.loop is not None]


def steps_shown(loop: LoopRecord) -> list[int]:
    """Some steps from the first to the last, counted from 0."""
    last = loop.steps - 1
    return sorted({round(last * at / (SHOWN - 1)) for at in range(SHOWN)})


def _heads(loop: LoopRecord) -> list[str]:
    return [f"{clean(loop.unit)}s per second", "95 %", *(f"error, step {at + 1}" for at in steps_shown(loop)), "same largest"]


def _row(artifact: ArtifactRecord, loop: LoopRecord) -> list[str]:
    low, high = loop.ci95
    bounds = "no interval" if high is None else f"{number(low)} to {number(high)}"
    errors = [number(loop.error[at]) for at in steps_shown(loop)]
    return [artifact.id, number(loop.per_second), bounds, *errors, percent(loop.agreement[-1])]


def _note(loop: LoopRecord) -> str:
    return (
        f"Loops of {loop.steps} calls, each fed what the one before gave; timed one example at a time, feeding included, one "
        f"artifact after the other. Errors are those of output {clean(loop.watched)} against the reference's own loop over "
        f"{loop.examples} examples, by the spread of its output at that step; the last column is the share of largest values "
        "at the same place after the last step."
    )


def _data(evidence: Evidence) -> Mapping[str, object]:
    found = _looped(evidence)
    if not found:
        return {"heads": [], "rows": [], "note": ""}
    return {"heads": _heads(found[0][1]), "rows": [_row(*one) for one in found], "note": _note(found[0][1])}


def _markdown(evidence: Evidence) -> Sequence[str]:
    found = _looped(evidence)
    if not found:
        return ()
    heads = ["artifact", *_heads(found[0][1])]
    lines = ["| " + " | ".join(map(escape, heads)) + " |", "|" + " --- |" * len(heads)]
    lines += ["| " + " | ".join(escape(clean(cell)) for cell in _row(*one)) + " |" for one in found]
    return f"### {LOOP.heading}", "\n".join(lines), escape(_note(found[0][1]))


LOOP = Section(
    "loops",
    "Loop",
    "Called in a loop",
    560,
    TEMPLATES / "sections" / "loop.html.j2",
    data=_data,
    shown=lambda evidence: bool(_looped(evidence)),
    markdown=_markdown,
)
