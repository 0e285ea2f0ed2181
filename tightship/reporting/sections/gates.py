"""Every gate of every artifact, and in the terminal and the summary what failed."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from artifacts.records.evidence import ArtifactRecord, Evidence, GateRecord
from tightship.reporting.escaping import bulleted
from tightship.reporting.formatting import failures, options_text, ordered
from tightship.reporting.pages import TEMPLATES
from tightship.reporting.sections.base import Section

if TYPE_CHECKING:
    from rich.console import Console


def _pairs(evidence: Evidence) -> list[tuple[ArtifactRecord, GateRecord]]:
    """Every gate with its artifact, the failed ones first."""
    pairs = [(a, gate) for a in ordered(evidence.artifacts) for gate in a.gates]
    return sorted(pairs, key=lambda pair: pair[1].passed)


def _data(evidence: Evidence) -> Mapping[str, object]:
    return {"gates": _pairs(evidence)}


def _markdown(evidence: Evidence) -> Sequence[str]:
    failed = [f"{a.id}: {name}: {reason}" for a in ordered(evidence.artifacts) for name, reason in failures(a)]
    return bulleted("Failed gates", failed)


def _terminal(evidence: Evidence, out: "Console") -> None:
    """What a reader of the table must know of each artifact: how it is opened where that is not the default, what failed."""
    from tightship.reporting.console import markup, print_markup

    if any(a.latency_ms.samples < 1000 for a in evidence.artifacts):
        print_markup("[dim]* no p99 from fewer than 1000 samples[/dim]", out)
    for record in ordered(evidence.artifacts):
        if record.options:
            print_markup(f"[dim]{markup(record.id)} is opened with {markup(options_text(record))}[/dim]", out)
        for name, reason in failures(record):
            print_markup(f"[red]failed[/red]  {markup(record.id)}  {markup(name)}: {markup(reason)}", out)


GATES = Section(
    "gates",
    "Gates",
    "Gates",
    600,
    TEMPLATES / "sections" / "gates.html.j2",
    _data,
    markdown=_markdown,
    terminal=_terminal,
)
