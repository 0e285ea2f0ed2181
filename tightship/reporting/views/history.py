"""The runs of one recipe over time: what shipped on each target, run after run, and where the machine changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from artifacts.errors import RequestError
from artifacts.records.evidence import ArtifactRecord, Evidence, read_evidence
from benchmarks.machine import same_machine
from tightship.reporting import formatting
from tightship.reporting.pages import render_page
from tightship.reporting.plots.history import trends
from tightship.reporting.run_pairs import Latencies, Run, latencies


@dataclass(frozen=True)
class Past:
    """One run and when its evidence was last written."""

    run: Run
    written: float
    """Seconds since 1970: the file's modification time, because the evidence itself has no date."""

    @property
    def date(self) -> str:
        """The modification time in this machine's time zone."""
        return datetime.fromtimestamp(self.written).strftime("%Y-%m-%d %H:%M")


@dataclass(frozen=True)
class Entry:
    """What one run shipped on one target."""

    number: int
    """Of the run, from 1."""
    past: Past
    target: str
    record: ArtifactRecord | None
    """None: nothing shipped there."""
    against: Latencies | None
    """Against what the run before shipped on this target; none for the first."""


@dataclass(frozen=True)
class Series:
    """All runs of one recipe name, the oldest first."""

    name: str
    runs: tuple[Past, ...]
    entries: tuple[Entry, ...]
    """One for each run and target, the newest run first."""
    changes: tuple[tuple[str, ...], ...]
    """What is not as in the run before, one tuple of phrases for each run."""
    machine_changed: tuple[bool, ...]
    """Whether a run's machine is not that of the run before."""


def read_runs(folder: Path) -> list[Past]:
    """The runs in the folders directly below this one, the oldest evidence first; equal times go by name.

    Raises:
        RequestError: there is none, or one cannot be read.
    """
    files = [path for path in folder.glob("*/evidence.json") if path.is_file()]
    if not files:
        raise RequestError(
            f"there is no run below {folder}: it reads {folder}/*/evidence.json; keep each run in a folder of its own."
        )
    dated = sorted((path.stat().st_mtime, path.parent.name, path) for path in files)
    return [Past(Run(name, path.parent, read_evidence(path)), written) for written, name, path in dated]


def render(past: Sequence[Past]) -> str:
    """The history page: one section for each recipe name, that of the newest run first."""
    names = dict.fromkeys(p.run.evidence.name for p in reversed(past))
    found = [series(name, [p for p in past if p.run.evidence.name == name]) for name in names]
    return render_page(
        "history.html.j2",
        found=found,
        headlines={s.name: formatting.headline(s.runs[-1].run.evidence) for s in found},
        latest={s.name: _latest(s) for s in found},
        figures={f"trend-{n}": trends(_by_target(s), [p.date for p in s.runs], s.machine_changed) for n, s in enumerate(found)},
    )


def series(name: str, runs: Sequence[Past]) -> Series:
    """The runs of one name, the oldest first, each held against the one before."""
    targets = dict.fromkeys(a.target for p in runs for a in p.run.evidence.artifacts)
    pairs = list(zip([None, *runs[:-1]], runs, strict=True))
    numbered = [(n, *pair) for n, pair in enumerate(pairs, 1)]
    entries = [_entry(n, before, now, target) for n, before, now in reversed(numbered) for target in targets]
    ever = {e.target for e in entries if e.record is not None}
    return Series(
        name,
        tuple(runs),
        tuple(e for e in entries if e.target in ever),
        tuple(_changes(before, now) for before, now in pairs),
        tuple(before is not None and bool(_machines(before, now)) for before, now in pairs),
    )


def shipped(evidence: Evidence, target: str) -> ArtifactRecord | None:
    """What a run shipped on a target; none if nothing."""
    return next((a for a in evidence.artifacts if a.target == target and a.verdict == "ship"), None)


def _by_target(found: Series) -> dict[str, list[ArtifactRecord | None]]:
    """What shipped on each target, the oldest run first."""
    lines: dict[str, list[ArtifactRecord | None]] = {}
    for entry in reversed(found.entries):
        lines.setdefault(entry.target, []).append(entry.record)
    return dict(sorted(lines.items()))


def _entry(number: int, before: Past | None, now: Past, target: str) -> Entry:
    record = shipped(now.run.evidence, target)
    old = shipped(before.run.evidence, target) if before else None
    against = latencies((now.run, record), (before.run, old)) if before and record and old else None
    return Entry(number, now, target, record, against)


def _machines(before: Past, now: Past) -> tuple[str, ...]:
    return same_machine(before.run.evidence.machine, now.run.evidence.machine)


def _changes(before: Past | None, now: Past) -> tuple[str, ...]:
    if before is None:
        return ()
    old, new = before.run.evidence, now.run.evidence
    versions = sorted({*old.machine.versions, *new.machine.versions})
    moved = [v for v in versions if old.machine.versions.get(v) != new.machine.versions.get(v)]
    return (
        *(f"machine: {formatting.clean(phrase)}" for phrase in _machines(before, now)),
        *(("recipe",) if old.recipe_sha256 != new.recipe_sha256 else ()),
        *(f"{v} {old.machine.versions.get(v, 'none')} → {new.machine.versions.get(v, 'none')}" for v in moved),
    )


def _latest(found: Series) -> list[str]:
    """What the newest run is against the one before, a sentence for each target."""
    newest = [e for e in found.entries if e.number == len(found.runs)]
    return [_sentence(e, len(found.runs) == 1) for e in newest]


def _sentence(entry: Entry, alone: bool) -> str:
    if entry.record is None:
        return f"{entry.target}: nothing shipped."
    now = f"{entry.record.id}: p50 {formatting.number(entry.record.latency_ms.p50)} ms"
    if entry.against is None:
        return f"{now}; {'the only run' if alone else 'the run before shipped nothing there'}."
    if entry.against.ratio is None:
        return f"{now}; not compared with the run before: {entry.against.reason}."
    found = entry.against.ratio
    ratio = f"{formatting.number(found.ratio)}× {formatting.interval((found.low, found.high))} of the run before"
    return f"{now}, {ratio}: {entry.against.verdict}."
