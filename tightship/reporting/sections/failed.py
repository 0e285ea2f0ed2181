"""What the recipe asks for and could not be made, checked, measured or ranked: stage, sentence and log, a row each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from artifacts.records.evidence import Evidence
from tightship.reporting.escaping import escape
from tightship.reporting.formatting import clean
from tightship.reporting.pages import TEMPLATES
from tightship.reporting.sections.base import Section

if TYPE_CHECKING:
    from rich.console import Console

HEADS = ("artifact", "failed at", "why", "log")


def _shown(evidence: Evidence) -> bool:
    return bool(evidence.failed)


def _markdown(evidence: Evidence) -> Sequence[str]:
    if not evidence.failed:
        return ()
    lines = [f"| {' | '.join(HEADS)} |", "|" + " --- |" * len(HEADS)]
    lines += [
        "| " + " | ".join(escape(clean(cell)) for cell in (failed.id, failed.stage, failed.reason, failed.log or "")) + " |"
        for failed in evidence.failed
    ]
    return (f"### {FAILED.heading}", "\n".join(lines))


def _terminal(evidence: Evidence, out: "Console") -> None:
    from tightship.reporting.console import markup, print_markup

    for failed in evidence.failed:
        log = f" [dim]({markup(failed.log)})[/dim]" if failed.log else ""
        print_markup(f"[bold red]failed[/bold red] {markup(failed.id)} at {failed.stage}: {markup(failed.reason)}{log}", out)


FAILED = Section(
    "failed",
    "Failed",
    "Could not be made, checked, measured or ranked",
    250,
    TEMPLATES / "sections" / "failed.html.j2",
    shown=_shown,
    markdown=_markdown,
    terminal=_terminal,
)
