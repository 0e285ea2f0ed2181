"""Two runs' figures of one artifact held side by side: what may be said of the difference, and when nothing may."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from artifacts.records.evidence import ArtifactRecord, Evidence
from benchmarks.machine import same_machine
from benchmarks.mcnemar import mcnemar, read_correct
from benchmarks.timing.statistics import MARGIN, Ratio, apart
from tightship.gating.baseline import figures_of
from tightship.gating.baseline_limits.latency import incomparable_reason, latency_ratio, speedup_between
from tightship.reporting.formatting import clean, number
from tightship.reporting.scores import is_share


@dataclass(frozen=True)
class Run:
    """One finished run and the name that a page gives it."""

    mark: str
    """A short name, such as `A`."""
    folder: Path
    evidence: Evidence

    def artifact(self, artifact_id: str) -> ArtifactRecord | None:
        """The artifact with this id; none if this run has none."""
        return next((a for a in self.evidence.artifacts if a.id == artifact_id), None)


@dataclass(frozen=True)
class Latencies:
    """How long one run's artifact takes in units of another's, or why that is not said."""

    ratio: Ratio | None
    verdict: str
    """`faster`, `slower`, `no difference shown`, `cannot tell`, or `not compared`."""
    reason: str = ""


def latencies(now: tuple[Run, ArtifactRecord], then: tuple[Run, ArtifactRecord]) -> Latencies:
    """The ratio of two medians of different runs, if both were measured on the same machine in the same way.

    The verdict is that of `tightship compare` on two runs: a difference counts only beyond a margin, because machines drift.
    """
    differs = same_machine(then[0].evidence.machine, now[0].evidence.machine)
    if differs:
        return Latencies(None, "not compared", f"not the same machine: {'; '.join(map(clean, differs))}")
    base = figures_of(then[1])
    why = incomparable_reason(now[1], base)
    found = None if why else speedup_between(now[1], base)
    if found is None:
        return Latencies(None, "not compared", why or "an interval is missing")
    return Latencies(latency_ratio(now[1], base), apart(found, MARGIN))


def accuracy_change(now: tuple[Run, ArtifactRecord], then: tuple[Run, ArtifactRecord]) -> str:
    """The difference in accuracy with McNemar's verdict on the same examples, or why it was not tested."""
    a, b = then[1].accuracy, now[1].accuracy
    if (a.metric, a.test_sha256) != (b.metric, b.test_sha256):
        return "not compared: another test set or metric"
    gain = (b.deployed - a.deployed) * (100 if is_share(a) else 1)
    shown = f"{gain:+.2f} points" if is_share(a) else f"{'+' if gain > 0 else ''}{number(gain)}"
    shown += " (smaller is better)" if a.direction == "smaller" else ""
    correct = [read_correct(run.folder / "selftest" / record.id / "correct.npz") for run, record in (then, now)]
    if correct[0] is None or correct[1] is None or correct[0].shape != correct[1].shape:
        return f"{shown}, not tested"
    return f"{shown}, {mcnemar(correct[0], correct[1]).verdict}"


def versions_that_differ(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """Each library (and Python) whose version is not the same in all runs, with its version in each."""
    tables: list[Mapping[str, str]] = [{**run.evidence.machine.versions, "python": run.evidence.machine.python} for run in runs]
    names = sorted({name for table in tables for name in table})
    rows = [(name, [table.get(name, "none") for table in tables]) for name in names]
    return [row for row in rows if len(set(row[1])) > 1]


def recipe_changes(then: Run, now: Run) -> list[tuple[str, str]]:
    """The lines of the recipe that changed, with three lines around each; the kind is `cut`, `add`, `at` or `same`."""
    from difflib import unified_diff

    from tightship.reporting.pages import yaml_text

    old, new = (yaml_text(run.evidence.recipe).splitlines() for run in (then, now))
    kinds = {"-": "cut", "+": "add", "@": "at"}
    lines = list(unified_diff(old, new, lineterm=""))[2:]
    return [(kinds.get(line[:1], "same"), line) for line in lines]
