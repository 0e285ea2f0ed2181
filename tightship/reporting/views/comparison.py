"""Several finished runs side by side: their artifacts, what changed in the recipe, and which versions differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from artifacts.errors import RequestError
from artifacts.records.evidence import ArtifactRecord, Evidence
from benchmarks.machine import same_machine
from tightship.reporting import formatting
from tightship.reporting.conditions import disturbance
from tightship.reporting.pages import render_page
from tightship.reporting.plots.axes import COLORS, Figure, finite, interval_bars, label, latency_axis, layout_of, score_range
from tightship.reporting.run_pairs import Latencies, Run, accuracy_change, latencies, recipe_changes, versions_that_differ
from tightship.reporting.scores import is_share

MOST_RUNS = 26
"""The most runs on one page: each is named by a letter."""


@dataclass(frozen=True)
class Change:
    """One artifact of a later run against the same artifact of the first."""

    latency: Latencies
    accuracy: str
    bytes_share: float | None


@dataclass(frozen=True)
class Row:
    """One artifact in all runs; none where a run does not have it."""

    id: str
    records: tuple[ArtifactRecord | None, ...]
    changes: tuple[Change | None, ...]
    """Of every run after the first; none where either lacks the artifact."""


def render(folders: Sequence[tuple[Path, Evidence]]) -> str:
    """The comparison page; the first run is what the others are held against.

    Args:
        folders: each run's folder, where what each example gave is looked up, and its evidence.

    Raises:
        RequestError: fewer than two runs, or more than there are letters.
    """
    if not 2 <= len(folders) <= MOST_RUNS:
        raise RequestError(f"a comparison takes 2 to {MOST_RUNS} runs, not {len(folders)}; name each run's folder.")
    runs = [Run(chr(ord("A") + n), folder, evidence) for n, (folder, evidence) in enumerate(folders)]
    rows = table(runs)
    machines = [same_machine(runs[0].evidence.machine, run.evidence.machine) for run in runs]
    return render_page(
        "comparison.html.j2",
        runs=runs,
        rows=rows,
        machines=machines,
        headlines=[formatting.headline(run.evidence) for run in runs],
        bests=[formatting.best_of(run.evidence) for run in runs],
        disturbances=[disturbance(run.evidence.noise) for run in runs],
        found=_found(runs, rows),
        versions=versions_that_differ(runs),
        recipes=[(run, recipe_changes(runs[0], run)) for run in runs[1:]],
        figures={} if any(machines) or not rows else {"tradeoff": _tradeoff(runs)},
        verdict_order=formatting.VERDICT_ORDER.index,
    )


def table(runs: Sequence[Run]) -> list[Row]:
    """One row for each artifact that any run has, in the order in which they first appear."""
    ids = dict.fromkeys(a.id for run in runs for a in formatting.ordered(run.evidence.artifacts))
    return [_row(artifact_id, runs) for artifact_id in ids]


def _row(artifact_id: str, runs: Sequence[Run]) -> Row:
    records = tuple(run.artifact(artifact_id) for run in runs)
    first = records[0]
    changes = [
        _change((run, record), (runs[0], first)) if record is not None and first is not None else None
        for run, record in zip(runs[1:], records[1:], strict=True)
    ]
    return Row(artifact_id, records, tuple(changes))


def _change(now: tuple[Run, ArtifactRecord], then: tuple[Run, ArtifactRecord]) -> Change:
    share = now[1].bytes / then[1].bytes if then[1].bytes else None
    return Change(latencies(now, then), accuracy_change(now, then), share)


def _found(runs: Sequence[Run], rows: Sequence[Row]) -> list[str]:
    """What each later run is against the first, in one sentence."""
    return [_sentence(run, [row.changes[n] for row in rows]) for n, run in enumerate(runs[1:])]


def _sentence(run: Run, changes: Sequence[Change | None]) -> str:
    shared = [change for change in changes if change is not None]
    compared = [c.latency.verdict for c in shared if c.latency.ratio is not None]
    if not shared:
        return f"{run.mark} has no artifact in common with A."
    if not compared:
        return f"{run.mark} and A: no latency is compared; {shared[0].latency.reason}."
    counts = [(compared.count(name), name) for name in ("faster", "slower", "no difference shown", "cannot tell")]
    return (
        f"{run.mark} against A, latency of {len(compared)} artifacts: "
        + ", ".join(f"{n} {name}" for n, name in counts if n)
        + "."
    )


def _tradeoff(runs: Sequence[Run]) -> Figure:
    """Accuracy against p50 of all runs, one color each; only where one machine measured them all."""
    every = [a for run in runs for a in run.evidence.artifacts]
    share = all(is_share(a.accuracy) for a in every)
    axis = latency_axis([a.latency_ms.p50 for a in every], "p50 latency, ms (left is better)")
    height: Figure = {
        "title": {"text": "deployed accuracy (up is better)"},
        "tickformat": ".1~%" if share else "~g",
        "range": score_range([a.accuracy for a in every], share),
    }
    return {"data": [_points(n, run) for n, run in enumerate(runs)], "layout": layout_of(460, axis, height)}


def _points(n: int, run: Run) -> Figure:
    mine = [a for a in run.evidence.artifacts if isfinite(a.latency_ms.p50)]
    color = COLORS[n % len(COLORS)]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label(f"{run.mark}: {run.folder.name}"),
        "x": [a.latency_ms.p50 for a in mine],
        "y": [finite(a.accuracy.deployed) for a in mine],
        "hovertext": [
            f"{run.mark}: {label(a.id)}, p50 {formatting.number(a.latency_ms.p50)} ms, {formatting.size(a.bytes)}" for a in mine
        ],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "error_x": interval_bars([a.latency_ms for a in mine], color),
        "marker": {"color": color, "size": 11, "symbol": ["x" if formatting.failed(a) else "circle" for a in mine]},
    }
