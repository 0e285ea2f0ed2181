"""Targets of the recipe that were not run here, why, and the files that were made for them all the same."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from artifacts.records.evidence import Evidence
from tightship.reporting.escaping import bulleted
from tightship.reporting.formatting import absence, conversion, size
from tightship.reporting.pages import TEMPLATES
from tightship.reporting.sections.base import Section

if TYPE_CHECKING:
    from rich.console import Console


def absences(evidence: Evidence) -> Iterator[str]:
    """What was not run, and why; and what was made for it all the same. One line each, not yet escaped."""
    for missing in evidence.not_run:
        yield f"{missing.target}: {absence(missing) if missing.converted else missing.reason}"
        yield from (conversion(file) for file in missing.converted)


def _data(evidence: Evidence) -> Mapping[str, object]:
    return {"absence": absence}


def _markdown(evidence: Evidence) -> Sequence[str]:
    return bulleted(NOT_RUN.heading, list(absences(evidence)))


def _terminal(evidence: Evidence, out: "Console") -> None:
    from tightship.reporting.console import markup, print_markup

    for missing in evidence.not_run:
        state = "converted, not run" if missing.converted else "not run"
        print_markup(f"[yellow]{state}[/yellow] {markup(missing.target)}: {markup(missing.reason)}", out)
        for file in missing.converted:
            line = f"[yellow]converted, not run[/yellow] {markup(file.id)}: {size(file.bytes)} at {markup(file.main)}"
            print_markup(line, out)


NOT_RUN = Section(
    "not-run",
    "Not run",
    "Not run",
    1100,
    TEMPLATES / "sections" / "not_run.html.j2",
    _data,
    markdown=_markdown,
    terminal=_terminal,
)
