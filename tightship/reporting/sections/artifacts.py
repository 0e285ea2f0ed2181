"""Every deployed artifact with what was measured on it: one table in each view."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifacts.records.evidence import ArtifactRecord, Evidence
from tightship.reporting.conditions import outside, part, time_outside
from tightship.reporting.escaping import escape
from tightship.reporting.formatting import (
    MISSING,
    VERDICT_ORDER,
    clean,
    float_ratio,
    interval,
    number,
    ordered,
    p99,
    reference_of,
    size,
    stock_share,
)
from tightship.reporting.pages import TEMPLATES
from tightship.reporting.plots import figures
from tightship.reporting.scores import drop_text, score
from tightship.reporting.sections.base import Section
from tightship.reporting.sections.comparisons import row_ratio

if TYPE_CHECKING:
    from rich.console import Console

_COLORS = {"ship": "bold green", "fail": "bold red", "reference": "dim", "pass": ""}


@dataclass(frozen=True)
class _Column:
    title: str
    cell: Callable[[ArtifactRecord], str]
    spare: int = 0
    """Left out where the table is wider than the terminal, the lowest number first; 0: never."""
    left: bool = False


def _data(evidence: Evidence) -> Mapping[str, object]:
    return {
        "on_front": {a.id for a in figures.front(evidence.artifacts)},
        "bytes_share": _bytes_share,
        "stock_share": stock_share,
        "row_ratio": row_ratio,
        "time_outside": time_outside,
        "verdict_order": VERDICT_ORDER.index,
    }


def _bytes_share(evidence: Evidence, record: ArtifactRecord) -> float | None:
    reference = reference_of(evidence, record)
    return record.bytes / reference.bytes if reference is not None and reference.bytes else None


HEADS = (
    "artifact", "verdict", "accuracy", "drop", "p50 ms [95 %]", "p90 ms", "p99 ms", "speed-up", "fp32 / this", "cold start ms",
    "peak RSS MB", "size", "parity, rms", "outside",
)  # fmt: skip
"""The columns of the Markdown table."""


def _markdown(evidence: Evidence) -> Sequence[str]:
    if not evidence.artifacts:
        return ()
    lines = [f"| {' | '.join(HEADS)} |", "| --- | --- |" + " ---: |" * (len(HEADS) - 2)]
    lines += ["| " + " | ".join(escape(cell) for cell in _row(a)) + " |" for a in ordered(evidence.artifacts)]
    return ("\n".join(lines),)


def _row(a: ArtifactRecord) -> tuple[str, ...]:
    latency, fast = a.latency_ms, a.speedup
    return (
        *(a.id, a.verdict, score(a.accuracy.deployed, a.accuracy), drop_text(a.accuracy)),
        *(f"{number(latency.p50)} {interval(latency.ci95)}", number(latency.p90), p99(latency)),
        f"{number(fast.ratio)}× {interval(fast.ci95)} {fast.verdict}" if fast else MISSING,
        *(float_ratio(a) or MISSING, number(a.cold_start_ms), number(a.peak_rss_mb), size(a.bytes)),
        *(number(a.parity.rms_error) + ("" if a.parity.passed else " FAILED"), outside(a.placement)),
    )


def _terminal(evidence: Evidence, out: "Console") -> None:
    from rich.table import Table
    from rich.text import Text

    from tightship.reporting.console import encodable

    if not evidence.artifacts:
        return
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
        cells = (Text(encodable(clean(column.cell(record)), out)) for column in columns)
        table.add_row(*cells, style=_COLORS[record.verdict])
    out.print(table)


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


ARTIFACTS = Section(
    "artifacts",
    "Artifacts",
    "Artifacts",
    200,
    TEMPLATES / "sections" / "artifacts.html.j2",
    _data,
    markdown=_markdown,
    terminal=_terminal,
)
