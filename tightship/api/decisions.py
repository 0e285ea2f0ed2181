"""What follows from a run: gates, reports and bundles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.errors import RequestError
from tightship.api.recipes import PATHS, PathLike
from tightship.api.runs import Run, folder_of, load_run

if TYPE_CHECKING:
    from tightship.bundling.pack import VerifiedBundle
    from tightship.gating.evaluate_run import Gated
    from tightship.reporting.views.mlflow import Logged


def gate(
    run: Run | PathLike,
    limits: Mapping[str, float] | PathLike | None = None,
    *,
    artifact: str | None = None,
    baseline: PathLike | None = None,
    write_baseline: PathLike | None = None,
) -> "Gated":
    """Hold a finished run against limits: its own recipe's, others, or an earlier run's figures.

    Args:
        run: the run or its folder.
        limits: by name, as in a recipe's `gates`, or a YAML file of them; by default the recipe's own results stand.
        artifact: judge this one; by default those that decided the run.
        baseline: hold the limits named `baseline_...` against this earlier run.
        write_baseline: write the run's figures there, if it passes.

    Returns:
        `.passed`, and in `.results` a pair (artifact id, result) for every limit; `print` shows them.

    Raises:
        RequestError: a limit is unknown or no finite number, or the run has no such artifact.

    >>> import tightship as ts
    >>> gated = ts.gate("runs/tiny", {"size_mb": 0.000001})
    >>> gated.passed
    False
    >>> gated.results[0][1].name, gated.results[0][1].limit
    ('size_mb', 1e-06)
    """
    from tightship.gating.evaluate_run import judge_run
    from tightship.gating.limits import checked, read_limits

    if isinstance(limits, PATHS):
        limits = read_limits(Path(limits))
    elif limits is not None:
        limits = checked(limits, "")
    return judge_run(folder_of(run), limits, artifact, _optional(baseline), _optional(write_baseline))


def report(run: Run | PathLike | Sequence[Run | PathLike], *, out: PathLike | None = None) -> tuple[Path, ...]:
    """Write a finished run's report again; or, of several runs, one page that compares them.

    Args:
        run: a run or its folder; or several, of which the first is what the others are held against.
        out: of one run a folder, by default the run's own; of several a file, by default `comparison.html`.

    Returns:
        What was written: of one run `report.html`, `summary.md` and `junit.xml`.

    Raises:
        RequestError: there is no such run, or `out` is of the wrong kind.

    >>> import tightship as ts
    >>> [path.name for path in ts.report("runs/tiny", out="views")]
    ['report.html', 'summary.md', 'junit.xml']
    >>> [path.name for path in ts.report(["runs/tiny", "runs/tiny"], out="both.html")]
    ['both.html']
    """
    from tightship.reporting import write_views

    if isinstance(run, Run | str) or not isinstance(run, Sequence):
        loaded = run if isinstance(run, Run) else load_run(run)
        return write_views(loaded.evidence, Path(out) if out is not None else loaded.folder)
    from tightship.reporting.views.comparison import render

    runs = [one if isinstance(one, Run) else load_run(one) for one in run]
    return (_page(render([(one.folder, one.evidence) for one in runs]), Path(out or "comparison.html")),)


@dataclass(frozen=True)
class History:
    """A page that shows runs over time.

    Attributes:
        path: where it was written.
        runs: how many it shows.
    """

    path: Path
    runs: int


def history(folder: PathLike, *, out: PathLike | None = None) -> History:
    """Write a page that shows the runs in the folders below `folder` over time.

    Args:
        folder: where runs lie.
        out: the file; by default `history.html` in the folder.

    Raises:
        RequestError: there is no run, or `out` is a folder.

    >>> import tightship as ts
    >>> ts.history("runs", out="history.html").path.name
    'history.html'
    """
    from tightship.reporting.views.history import read_runs, render

    past = read_runs(Path(folder))
    page = _page(render(past), Path(out) if out is not None else Path(folder) / "history.html")
    return History(page, len(past))


def log_to_mlflow(run: Run | PathLike, uri: str | None = None, *, report: PathLike | None = None) -> "Logged":
    """Log a run's parameters, metrics, evidence and report to MLflow; the same evidence is logged once.

    Args:
        run: the run or its folder.
        uri: MLflow's tracking URI, or a folder; by default `mlruns` in the working folder.
        report: the report to log; by default the run's own.

    Raises:
        TargetUnavailable: MLflow is not installed.
        RequestError: the store cannot be used.

    >>> import tightship as ts
    >>> ts.log_to_mlflow("runs/tiny").again  # doctest: +SKIP
    False
    """
    from tightship.reporting.views.mlflow import log_run

    loaded = run if isinstance(run, Run) else load_run(run)
    page = Path(report) if report is not None else loaded.folder / "report.html"
    return log_run(loaded.evidence, {"evidence.json": loaded.folder / "evidence.json", "report.html": page}, uri)


def bundle(
    run: Run | PathLike, artifact: str | None = None, *, out: PathLike | None = None, allow_failed: bool = False
) -> Path:
    """Pack one artifact of a run for its device, with its evidence, a manifest and a runner; the same run gives the same bytes.

    Args:
        run: the run or its folder.
        artifact: its id; by default the run's best.
        out: a folder, or a path that ends in `.tar.gz`; by default `bundles` in the run's folder.
        allow_failed: pack one that did not pass.

    Raises:
        RequestError: nothing passed, the artifact did not pass or cannot be run by a bundle.
        IntegrityError: a file of the artifact is not the one that was measured.

    >>> import tightship as ts
    >>> ts.verify(ts.bundle("runs/tiny", "onnxruntime-cpu/fp32", out="packed")).artifact
    'onnxruntime-cpu/fp32'
    """
    from tightship.bundling.pack import make_bundle

    return make_bundle(folder_of(run), artifact, _optional(out), allow_failed=allow_failed)


def verify(path: PathLike) -> "VerifiedBundle":
    """Hold a bundle, packed or unpacked, against its manifest, and its model against its evidence.

    Raises:
        RequestError: there is no such bundle.
        IntegrityError: something in it was changed, is missing, or does not belong; the message names it.

    >>> import tightship as ts
    >>> verified = ts.verify(ts.load_run("runs/tiny").packed)
    >>> verified.name
    'tiny'
    """
    from tightship.bundling.pack import verify_bundle

    return verify_bundle(Path(path))


def _optional(path: PathLike | None) -> Path | None:
    return Path(path) if path is not None else None


def _page(text: str, out: Path) -> Path:
    """Write a page.

    Raises:
        RequestError: `out` is a folder.
    """
    from artifacts.files import write_atomic

    if out.is_dir():
        raise RequestError(f"{out} is a folder, but this page is one file; name it, such as --out {out / 'page.html'}.")
    write_atomic(out, text)
    return out
