"""The evidence as a terminal table: what was measured on each artifact, what failed, and the verdict."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifacts.records.evidence import ArtifactRecord, Evidence
from tightship.reporting.formatting import (
    MISSING,
    best_of,
    clean,
    drop_text,
    failures,
    headline,
    interval,
    number,
    options_text,
    ordered,
    score,
    size,
    stock_lines,
)
from tightship.reporting.sections.accuracy_guard import HEADS, GuardTable, guard_tables
from tightship.reporting.sections.conditions import part
from tightship.reporting.sections.labeled_rows import row_lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PLAIN_WIDTH = 120
"""How wide the table may be where no terminal tells its width."""

_COLORS = {"ship": "bold green", "fail": "bold red", "reference": "dim", "pass": ""}


@dataclass(frozen=True)
class _Column:
    title: str
    cell: Callable[[ArtifactRecord], str]
    spare: int = 0
    """Left out where the table is wider than the terminal, the lowest number first; 0: never."""
    left: bool = False


def print_table(evidence: Evidence, console: "Console | None" = None) -> None:
    """Print the table of artifacts, then the failed gates, what was not run, and the verdict."""
    out = console or terminal()
    _print_line(f"[bold]{_markup(evidence.name)}[/bold]", out)
    if evidence.artifacts:
        out.print(_table(evidence, out))
    for line in (*stock_lines(evidence), *row_lines(evidence)):
        _print_line(_markup(line), out)
    for table in guard_tables(evidence):
        _print_guard(table, out)
    for line in _lines(evidence):
        _print_line(line, out)


def _print_guard(table: GuardTable, out: "Console") -> None:
    """The accuracy guard's candidates, in the order in which they were tried."""
    _print_line(f"\n[bold]accuracy guard[/bold] {_markup(table.title)}", out)
    styles = ["bold" if "chosen" in row[-1] else "" for row in table.rows]
    out.print(grid(HEADS, table.rows, ("candidate", "result"), out, styles))
    _print_line(f"[dim]{_markup(table.sensitivity)}[/dim]\n" if table.sensitivity else "", out)


def grid(
    heads: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[str], out: "Console", styles: Sequence[str] = ()
) -> "Table":
    """A table of plain texts, the columns named in `left` aligned left and the others right."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, justify="left" if head in left else "right", overflow="fold")
    for row, style in zip(rows, styles or [""] * len(rows), strict=True):
        table.add_row(*(Text(_encodable(clean(cell), out)) for cell in row), style=style)
    return table


def print_line(line: str, out: "Console") -> None:
    """Print a plain text on one line, whatever it holds."""
    _print_line(_markup(line), out)


def _print_line(line: str, out: "Console") -> None:
    # `emoji=False`: a name such as `net:v2:` must not lose its colons to rich's emoji codes
    out.print(_encodable(line, out), markup=True, emoji=False, highlight=False, soft_wrap=True)


def terminal(plain_width: int = PLAIN_WIDTH) -> "Console":
    """The terminal; where there is none, one of this width."""
    import sys

    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=plain_width)


def _table(evidence: Evidence, out: "Console") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    columns = _fitting(evidence.artifacts, out.width)
    for column in columns:
        table.add_column(
            column.title,
            justify="left" if column.left else "right",
            overflow="fold",
            no_wrap=column.title != "artifact",
        )
    for record in ordered(evidence.artifacts):
        cells = (Text(_encodable(clean(column.cell(record)), out)) for column in columns)
        table.add_row(*cells, style=_COLORS[record.verdict])
    return table


def _fitting(artifacts: Sequence[ArtifactRecord], width: int) -> Sequence[_Column]:
    """The columns that fit the width, the spare ones left out one after the other."""
    columns = list(_columns())
    wide = {c.title: 1 + max(len(c.title), *(len(clean(c.cell(a))) for a in artifacts)) for c in columns}
    for least in sorted((c for c in columns if c.spare), key=lambda c: c.spare):
        if sum(wide[c.title] for c in columns) - 1 > width:
            columns.remove(least)
    return columns


def _columns() -> Sequence[_Column]:
    return (
        _Column("artifact", lambda a: a.id, left=True),
        _Column("verdict", lambda a: "ref." if a.verdict == "reference" else a.verdict, left=True),
        _Column("accuracy", lambda a: score(a.accuracy.deployed, a.accuracy)),
        _Column("drop", lambda a: drop_text(a.accuracy)),
        _Column("p50 ms [95 %]", lambda a: f"{number(a.latency_ms.p50)} {interval(a.latency_ms.ci95)}"),
        _Column("p90", lambda a: number(a.latency_ms.p90), spare=2),
        _Column("p99", _p99, spare=3),
        _Column("speed-up", _speedup),
        _Column("cold", lambda a: number(a.cold_start_ms), spare=1),
        _Column("RSS", lambda a: number(a.peak_rss_mb), spare=5),
        _Column("kB", lambda a: number(a.bytes / 1000)),
        _Column("parity", lambda a: number(a.parity.rms_error) if a.parity.passed else "FAILED"),
        _Column("outside", lambda a: part(a.placement.fallback_share), spare=4),
    )


def _p99(a: ArtifactRecord) -> str:
    return "n/a*" if a.latency_ms.samples < 1000 else number(a.latency_ms.p99)


def _speedup(a: ArtifactRecord) -> str:
    """The ratio where a difference was shown: `8.02x`, or `0.51x slower`."""
    if a.speedup is None:
        return MISSING
    if a.speedup.verdict == "no difference shown":
        return "none shown"
    slower = " slower" if a.speedup.verdict == "slower" else ""
    return f"{number(a.speedup.ratio)}x{slower}"


def _lines(evidence: Evidence) -> Iterator[str]:
    """The lines below the table, as rich markup."""
    if any(a.latency_ms.samples < 1000 for a in evidence.artifacts):
        yield "[dim]* no p99 from fewer than 1000 samples[/dim]"
    for record in ordered(evidence.artifacts):
        if record.options:
            yield f"[dim]{_markup(record.id)} is opened with {_markup(options_text(record))}[/dim]"
        for name, reason in failures(record):
            yield f"[red]failed[/red]  {_markup(record.id)}  {_markup(name)}: {_markup(reason)}"
    for missing in evidence.not_run:
        state = "converted, not run" if missing.converted else "not run"
        yield f"[yellow]{state}[/yellow] {_markup(missing.target)}: {_markup(missing.reason)}"
        for file in missing.converted:
            yield f"[yellow]converted, not run[/yellow] {_markup(file.id)}: {size(file.bytes)} at {_markup(file.main)}"
    color = "green" if evidence.verdict.passed else "red"
    yield f"[bold {color}]{_markup(headline(evidence))}[/]" + _why(evidence)


def _why(evidence: Evidence) -> str:
    reasons = "; ".join(_markup(reason) for reason in evidence.verdict.reasons)
    best = best_of(evidence)
    if best is not None and not evidence.verdict.passed:
        reasons = f"{reasons}; of what passed on its own, the fastest is {_markup(best.id)}".removeprefix("; ")
    return f": {reasons}" if reasons else ""


def _markup(text: str) -> str:
    """The text on one line with nothing in it that drives a terminal or reads as rich markup."""
    from rich.markup import escape

    return escape(clean(text))


def _encodable(text: str, out: "Console") -> str:
    """The text in what the console can write: a log in ASCII must not end the run."""
    return text.encode(out.encoding, "replace").decode(out.encoding)
