"""Which of two is faster, and whether it is as accurate: files measured interleaved, or runs by what they recorded."""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.errors import RequestError
from tightship.api.checks import positive, whole
from tightship.api.files import how_opened
from tightship.api.recipes import PATHS, PathLike
from tightship.api.runs import Run
from tightship.api.tables import Row

if TYPE_CHECKING:
    from tightship.api.networks.artifacts import Artifact

    Comparable = Artifact | Run | PathLike

VERDICTS = {
    "faster": "B is faster",
    "slower": "B is slower",
    "no difference shown": "No difference shown: the interval lies within {margin:.1%}",
    "cannot tell": "Cannot tell: the interval is too wide",
}


@dataclass(frozen=True)
class Comparison:
    """Whether B is faster than A; `print` says it in a few sentences.

    Attributes:
        row: all figures, as `tightship compare --json` prints them.
    """

    row: Row

    @property
    def artifact(self) -> str | None:
        """Of two runs: which artifact was compared."""
        found: str | None = self.row.get("artifact")
        return found

    @property
    def verdict(self) -> str:
        """Of B: `faster`, `slower`, `no difference shown`, or `cannot tell`."""
        return str(self.row["verdict"])

    @property
    def ratio(self) -> float:
        """The latency of A in units of that of B."""
        return float(self.row["ratio"])

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the ratio; None where one process of each gives none."""
        low, high = self.row["ci"]
        return None if high is None else (float(low), float(high))

    def __str__(self) -> str:
        lines = [f"{self.artifact}:"] if self.artifact else []
        lines += _latency(self.row)
        return "\n".join([*lines, *([_accuracy(self.row["accuracy"])] if "accuracy" in self.row else [])])

    def _repr_html_(self) -> str:
        return _html(self)


class Comparisons(tuple[Comparison, ...]):
    """One comparison for each pair of files; for two files that is one."""

    def __str__(self) -> str:
        lines = [str(found) for found in self]
        versions = self[0].row.get("versions") if self else ()
        return "\n".join([*lines, *([f"The runs used different libraries: {'; '.join(versions)}."] if versions else [])])

    def _repr_html_(self) -> str:
        return _html(self)


def compare(
    a: "Comparable",
    b: "Comparable",
    *,
    inputs: PathLike | None = None,
    artifact: str | None = None,
    again: bool = False,
    processes: int = 6,
    limit: int = 24,
    seconds: float = 0.8,
    threads: int = 1,
    margin: float = 0.02,
) -> Comparisons:
    """Whether B is faster than A: a ratio of latencies with its 95 % interval, and a verdict.

    Files are measured interleaved, in pairs of processes, until the interval decides. Of two runs that were measured on the
    same machine, what they recorded is held against each other, and accuracy by McNemar's test (McNemar 1947).

    Args:
        a: the baseline: a file, an artifact, or a run (or its folder).
        b: the candidate, of the same kind.
        inputs: of files: an NPZ with inputs by name; made up if not given.
        artifact: of runs: only this artifact.
        again: of runs: measure the files again, interleaved.
        processes: pairs of processes before the first look.
        limit: the most pairs of processes.
        seconds: of timing per process.
        threads: CPU threads.
        margin: latencies this near, as a share, are equal.

    Raises:
        RequestError: one is a file and the other a run, a file is missing or its kind cannot be told, or the two take
            different inputs.

    >>> import tightship as ts
    >>> run = ts.load_run("runs/tiny")
    >>> found = ts.compare(run.artifact("torch-cpu/reference"), run.artifact("onnxruntime-cpu/fp32"), processes=3,
    ...                    limit=3, seconds=0.05)
    >>> found[0].verdict in ("faster", "slower", "no difference shown", "cannot tell")
    True
    >>> low, high = found[0].interval
    >>> low <= found[0].ratio <= high
    True
    """
    from tightship.benching.compare import compare_files, compare_runs

    one, other = _path(a), _path(b)
    whole("processes", processes, 2)
    whole("limit", limit, 2)
    whole("threads", threads)
    positive("seconds", seconds)
    if not 0 <= margin <= 1:
        raise RequestError(f"margin must be a share from 0 to 1, not {margin!r}.")
    if one.is_dir() != other.is_dir():
        raise RequestError(f"compare two files or the folders of two runs, not one of each: {one} and {other}.")
    if not one.is_dir():
        with tempfile.TemporaryDirectory(prefix="tightship-compare-") as work:
            given, target, options = how_opened(
                [one for one in (a, b) if not isinstance(one, Run)], inputs, None, None, Path(work), 1
            )
            if target or options:
                raise RequestError(
                    "compare opens files as their names tell and with no options; measure these with bench, which takes both."
                )
            row = compare_files(
                one, other, given, processes=processes, limit=limit, seconds=seconds, threads=threads, margin=margin
            )
        return Comparisons([Comparison(row)])
    rows = compare_runs(
        one, other, artifact, again=again, processes=processes, limit=limit, seconds=seconds, threads=threads, margin=margin
    )
    return Comparisons(map(Comparison, rows))


def _path(given: "Comparable") -> Path:
    if isinstance(given, Run):
        return given.folder
    return Path(given) if isinstance(given, PATHS) else given.path


def _html(shown: object) -> str:
    return f"<pre>{escape(str(shown))}</pre>"


def _latency(row: Row) -> Iterable[str]:
    low, high = row["ci"]
    bounds = f"95 % interval {low:.3f} .. {high:.3f}" if high is not None else "no interval"
    figures = f"A takes {row['ratio']:.3f} times as long as B ({bounds})"
    yield f"{VERDICTS[row['verdict']].format(margin=row['margin'])}: {figures}."
    if row["verdict"] == "cannot tell" and row["processes_needed"]:
        yield f"About {row['processes_needed']} pairs of processes would decide: --limit {row['processes_needed']}."
    how = (
        "interleaved pairs of processes" if row["interleaved"] else "processes each, in two runs; --again measures interleaved"
    )
    yield f"Median A {row['a_ms']:.4g} ms, B {row['b_ms']:.4g} ms, over {row['processes']} {how}."
    if row["disturbed"]:
        reasons = ", ".join((row.get("noise") or {}).get("reasons", ()))
        yield f"DISTURBED: the machine was not quiet{f' ({reasons})' if reasons else ''}."


def _accuracy(accuracy: Row) -> str:
    figures = f"{accuracy['metric']} A {accuracy['a']:.4f}, B {accuracy['b']:.4f}"
    if accuracy["verdict"] is None:
        return f"{figures}: not tested, {accuracy['reason']}."
    return (
        f"{figures}: B is {100 * accuracy['difference']:+.2f} points, {accuracy['verdict']} (McNemar, p = "
        f"{accuracy['p_value']:.3g}; only A right {accuracy['only_a']}, only B right {accuracy['only_b']})."
    )
