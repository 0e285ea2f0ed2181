"""The accuracy guard's table in words: what the terminal, the Markdown summary and the HTML report show of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifacts.records.accuracy_guard import CandidateRecord, GuardRecord
from artifacts.records.evidence import AccuracyRecord, ArtifactRecord, Evidence
from tightship.reporting.escaping import escape
from tightship.reporting.formatting import MISSING, number, size
from tightship.reporting.pages import TEMPLATES
from tightship.reporting.scores import is_share, score
from tightship.reporting.sections.base import Section

if TYPE_CHECKING:
    from rich.console import Console

HEADS = ("candidate", "accuracy", "drop", "std. error", "seconds", "size", "result")


@dataclass(frozen=True)
class GuardTable:
    """The candidates of one artifact, as text."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    """One cell for each of `HEADS`."""
    sensitivity: str
    """The most sensitive layers on one line; empty if none were ranked."""


def guard_tables(evidence: Evidence) -> list[GuardTable]:
    """The table of every artifact that the accuracy guard made."""
    return [_table(a, a.guard) for a in evidence.artifacts if a.guard is not None]


def _table(artifact: ArtifactRecord, guard: GuardRecord) -> GuardTable:
    accuracy = artifact.accuracy
    unit = " points" if is_share(accuracy) else ""
    budget, reference = f"{lost(guard.budget, accuracy)}{unit}", score(guard.reference, accuracy)
    title = (
        f"{artifact.id}: budget {budget} on {guard.held_out:,} held-out training examples (float {reference}); "
        f"{'chosen' if guard.met else 'NOT met, best'}: {guard.chosen}"
    )
    rows = tuple(_row(candidate, accuracy) for candidate in guard.candidates)
    layers = ", ".join(f"{s.layer} {s.sqnr_db:.1f} dB" for s in guard.sensitivity[:5])
    return GuardTable(title, rows, f"most sensitive layers (SQNR when quantized alone): {layers}" if layers else "")


def _row(candidate: CandidateRecord, accuracy: AccuracyRecord) -> tuple[str, ...]:
    if candidate.metric is None or candidate.drop is None or candidate.error is None:
        return (candidate.name, *(MISSING,) * 5, f"not tried: {candidate.reason}")
    result = "met" if candidate.met else "not met"
    return (
        candidate.name,
        score(candidate.metric, accuracy),
        lost(candidate.drop, accuracy),
        lost(candidate.error, accuracy),
        number(candidate.seconds),
        size(candidate.bytes),
        f"{result}, chosen" if candidate.chosen else result,
    )


def lost(value: float, accuracy: AccuracyRecord) -> str:
    """A drop as the other tables show it: in points if the metric is a share."""
    return f"{round(100 * value, 3) + 0.0:.4g}" if is_share(accuracy) else number(value)


def _data(evidence: Evidence) -> Mapping[str, object]:
    return {"guards": guard_tables(evidence)}


def _shown(evidence: Evidence) -> bool:
    return any(a.guard for a in evidence.artifacts)


def _markdown(evidence: Evidence) -> Sequence[str]:
    """A title and a table for every artifact that the guard made."""
    parts = []
    for table in guard_tables(evidence):
        lines = [f"| {' | '.join(HEADS)} |", "| --- |" + " ---: |" * 5 + " --- |"]
        lines += ["| " + " | ".join(map(escape, row)) + " |" for row in table.rows]
        parts += [f"### {ACCURACY_GUARD.heading}", escape(table.title), "\n".join(lines)]
        parts += [escape(table.sensitivity)] if table.sensitivity else []
    return parts


def _terminal(evidence: Evidence, out: "Console") -> None:
    """The candidates, in the order in which they were tried."""
    from tightship.reporting.console import grid, markup, print_markup

    for table in guard_tables(evidence):
        print_markup(f"\n[bold]accuracy guard[/bold] {markup(table.title)}", out)
        styles = ["bold" if "chosen" in row[-1] else "" for row in table.rows]
        out.print(grid(HEADS, table.rows, ("candidate", "result"), out, styles))
        print_markup(f"[dim]{markup(table.sensitivity)}[/dim]\n" if table.sensitivity else "", out)


ACCURACY_GUARD = Section(
    "guard",
    "",
    "Accuracy guard",
    500,
    TEMPLATES / "sections" / "accuracy_guard.html.j2",
    _data,
    shown=_shown,
    markdown=_markdown,
    terminal=_terminal,
)
