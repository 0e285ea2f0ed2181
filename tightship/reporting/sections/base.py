"""What a section of the report says of itself, so that no view names one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.records.evidence import Evidence
from tightship.reporting.plots.axes import Figure

if TYPE_CHECKING:
    from rich.console import Console

API = 1
"""The version of this interface; a record of another one is refused."""


def nothing(evidence: Evidence) -> Mapping[str, Figure]:
    """No values, no figures."""
    return {}


def always(evidence: Evidence) -> bool:
    """Shown in every report."""
    return True


@dataclass(frozen=True)
class Section:
    """One part of what a run's views show; a view leaves out what it has nothing of."""

    name: str
    """Its anchor on the page, too."""
    title: str
    """In the page's list of sections; empty: not listed."""
    heading: str
    order: int
    """Sections come in rising order, in every view."""
    template: Path | None = None
    """The HTML below the heading: a Jinja template that sees `run`, `artifacts` and what `data` gives."""
    data: Callable[[Evidence], Mapping[str, object]] = nothing
    """The values and functions that the template uses."""
    figures: Callable[[Evidence], Mapping[str, Figure]] = nothing
    """The plots by name; the template has a place `plot-NAME` for each."""
    shown: Callable[[Evidence], bool] = always
    """Whether the page has the section."""
    markdown: Callable[[Evidence], Sequence[str]] | None = None
    """Its paragraphs in the Markdown summary, escaped; none where there is nothing to say."""
    terminal: "Callable[[Evidence, Console], None] | None" = None
    """Prints it, or nothing."""
    api: int = API
