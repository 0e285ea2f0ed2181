"""Files held against the stock int8 file of their target, and rows of one target against its first, in words."""

from typing import TYPE_CHECKING

from artifacts.records.evidence import ArtifactRecord, Evidence
from tightship.reporting.escaping import bulleted
from tightship.reporting.formatting import clean, compared, stock_share
from tightship.reporting.sections.base import Section

if TYPE_CHECKING:
    from rich.console import Console


def stock_lines(evidence: Evidence) -> list[str]:
    """One sentence for each artifact that was measured beside a stock int8 file."""
    return [f"{clean(a.id)} takes {share}" for a in evidence.artifacts if (share := stock_share(a))]


def row_ratio(record: ArtifactRecord) -> str | None:
    """How a labeled row compares with the first row of its target; None where there is none before it."""
    return None if record.versus_row is None else compared(record.versus_row)


def row_lines(evidence: Evidence) -> list[str]:
    """One sentence for each artifact of a labeled row: faster or slower than the target's first, or not told apart."""
    return [f"{clean(a.id)}: {said}" for a in evidence.artifacts if (said := row_ratio(a))]


def _print(lines: list[str], out: "Console") -> None:
    from tightship.reporting.console import print_line

    for line in lines:
        print_line(line, out)


AGAINST_STOCK = Section(
    "against-stock",
    "",
    "Against the stock int8 files",
    210,
    markdown=lambda evidence: bulleted("Against the stock int8 files", stock_lines(evidence)),
    terminal=lambda evidence, out: _print(stock_lines(evidence), out),
)
AGAINST_FIRST_ROW = Section(
    "against-first-row",
    "",
    "Against the first row of the same target",
    220,
    markdown=lambda evidence: bulleted("Against the first row of the same target", row_lines(evidence)),
    terminal=lambda evidence, out: _print(row_lines(evidence), out),
)
