"""The evidence in a terminal: what was measured on each artifact, what failed, and the verdict."""

from typing import TYPE_CHECKING

from artifacts.records.evidence import Evidence
from tightship.reporting.console import markup, print_markup, terminal
from tightship.reporting.formatting import best_of, headline
from tightship.reporting.sections import in_order

if TYPE_CHECKING:
    from rich.console import Console


def print_table(evidence: Evidence, console: "Console | None" = None) -> None:
    """Print the sections that a terminal shows, beginning with the table of artifacts, then the verdict."""
    out = console or terminal()
    print_markup(f"[bold]{markup(evidence.name)}[/bold]", out)
    for section in in_order():
        if section.terminal:
            section.terminal(evidence, out)
    color = "green" if evidence.verdict.passed else "red"
    print_markup(f"[bold {color}]{markup(headline(evidence))}[/]" + _why(evidence), out)


def _why(evidence: Evidence) -> str:
    reasons = "; ".join(markup(reason) for reason in evidence.verdict.reasons)
    best = best_of(evidence)
    if best is not None and not evidence.verdict.passed:
        reasons = f"{reasons}; of what passed on its own, the fastest is {markup(best.id)}".removeprefix("; ")
    return f": {reasons}" if reasons else ""
