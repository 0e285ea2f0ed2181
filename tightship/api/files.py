"""Exported files, ours or external: how fast they are, and how they do under load."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.errors import RequestError, nearest
from tightship.api.checks import positive, several, whole
from tightship.api.progress import told
from tightship.api.recipes import PATHS, PathLike
from tightship.api.tables import Row, Table

if TYPE_CHECKING:
    from tightship.api.networks.artifacts import Artifact
    from tightship.api.progress import OnProgress
    from tightship.pipeline.progress import Progress

SHOWN = (
    "file", "target", "threads", "batch", "p50_ms", "ci95_ms", "p90_ms", "p99_ms", "throughput_per_s", "cold_start_ms",
    "rss_load_mb", "rss_run_mb", "bytes",
)  # fmt: skip
"""The columns that a screen shows."""


def bench(
    files: "PathLike | Artifact | Sequence[PathLike | Artifact]",
    *,
    inputs: PathLike | None = None,
    target: str | None = None,
    processes: int = 3,
    seconds: float = 0.6,
    threads: int | Sequence[int] = 1,
    batch: int | Sequence[int] = (),
    options: Mapping[str, object] | None = None,
    roofline: bool = False,
    end_to_end: bool = False,
) -> Table:
    """Measure exported files: latency, throughput, cold start, memory and bytes; interleaved, in processes of their own.

    Args:
        files: one or several: `.onnx`, TorchScript `.pt` and `.ptl`, `.pt2`, `.pte`, `.bpte`, `.tflite`, `.xml`, `.param`, a
            stored `model.json`, or what `export` made.
        inputs: an NPZ with inputs by name; made up if not given.
        target: where to run them; by default told from their names.
        processes: fresh processes per file.
        seconds: of timing per process.
        threads: CPU threads; several make a sweep.
        batch: examples per call; several make a sweep; by default what the files take, else 1.
        options: how the target opens the files, by the target's own names.
        roofline: also this machine's peaks, the share reached, and the costliest layers.
        end_to_end: also calls from a raw picture to its labels, of files in their run's folder.

    Returns:
        One row per file, number of threads and batch, as `tightship bench --json` prints them: `p50_ms`, `ci95_ms` (its
        95 % interval over processes), `p90_ms`, `throughput_per_s`, `cold_start_ms`, `rss_run_mb` (10^6 bytes) and more.

    Raises:
        RequestError: a file is missing, its kind or inputs cannot be told, it takes another batch, or its target does not
            know an option.

    >>> import tightship as ts
    >>> rows = ts.bench("runs/tiny/artifacts/onnxruntime-cpu/fp32/model.onnx", processes=2, seconds=0.05)
    >>> rows[0]["target"], rows[0]["batch"], rows[0]["p50_ms"] > 0
    ('onnxruntime-cpu', 1, True)
    """
    from tightship.benching.bench import bench_files

    given: Sequence[PathLike | Artifact] = [files] if isinstance(files, PATHS) or not isinstance(files, Sequence) else files
    if not given:
        raise RequestError("bench needs a file to measure, and none is given.")
    batches = several("batch", batch)
    whole("processes", processes)
    positive("seconds", seconds)
    with tempfile.TemporaryDirectory(prefix="tightship-bench-") as work:
        arrays, where, how = how_opened(given, inputs, target, options, Path(work), max(batches, default=1))
        rows = bench_files(
            [_path(one) for one in given], arrays, where, processes=processes, seconds=seconds,
            threads=several("threads", threads), batches=batches, options=how, roofline=roofline, end_to_end=end_to_end,
        )  # fmt: skip
    return Table(rows, SHOWN)


def load_test(
    file: "PathLike | Artifact",
    scenario: str,
    *,
    inputs: PathLike | None = None,
    target: str | None = None,
    threads: int = 1,
    seconds: float | None = None,
    batch: int | None = None,
    callers: Sequence[int] = (),
    out: PathLike | None = None,
    repeats: int = 1,
    on_progress: "OnProgress | Progress | None" = None,
    **options: object,
) -> Row:
    """Put a file under load, by MLPerf LoadGen or by callers of our own.

    Args:
        file: an exported file, or what `export` made.
        scenario: `single-stream`, `multi-stream`, `server` or `offline` by LoadGen; `sustained`, or `concurrency`.
        inputs: an NPZ with inputs by name; made up if not given.
        target: where to run it; by default told from its name.
        threads: CPU threads of the engine.
        seconds: LoadGen's minimum duration (10); of `sustained` altogether (120); of `concurrency` one turn (1).
        batch: the most samples in a call, where the file takes several.
        callers: of `concurrency`: processes that call at once.
        out: where logs are kept; by default a new folder under `runs/load`.
        repeats: how often LoadGen runs again where others disturbed it.
        on_progress: called with an `Update` as it goes on.
        options: LoadGen's: `target_qps`, `latency_bound_ms`, `find_qps`, `samples_per_query`, `accuracy`.

    Returns:
        What `tightship load --json` prints.

    Raises:
        RequestError: the file, the inputs or the options are wrong.
        TargetUnavailable: LoadGen or the runtime is missing.
        ParityFailed: outputs under load are not those of plain runs.

    >>> import tightship as ts
    >>> file = "runs/tiny/artifacts/onnxruntime-cpu/fp32/model.onnx"
    >>> found = ts.load_test(file, "concurrency", callers=[1, 2], seconds=0.1, out="load")
    >>> [level["callers"] for level in found["levels"]]
    [1, 2]
    """
    from tightship.benching.load import load_file

    path = _path(file)
    with tempfile.TemporaryDirectory(prefix="tightship-load-") as work, told(on_progress) as progress:
        arrays, where, _ = how_opened([file], inputs, target, None, Path(work), batch or 1)
        progress.begin(f"{scenario} {path.name}", 0, 1)
        return load_file(
            path, scenario, arrays, where, threads=whole("threads", threads), seconds=seconds, batch=batch,
            folder=Path(out) if out is not None else None, repeats=repeats, callers=several("callers", callers),
            progress=progress.update, **_known(options),
        )  # fmt: skip


def _known(options: Mapping[str, object]) -> Row:
    """LoadGen's options.

    Raises:
        RequestError: one is unknown; the message names the nearest.
    """
    from dataclasses import fields

    from benchmarks.process.loadgen.plan import LoadPlan

    known = {field.name for field in fields(LoadPlan)} - {"scenario", "seconds", "batch"}
    for name in options:
        if name not in known:
            raise RequestError(f"load_test takes no option {name!r}; {nearest(name, known)}.")
    return dict(options)


def _path(one: "PathLike | Artifact") -> Path:
    return Path(one) if isinstance(one, PATHS) else one.path


def how_opened(
    files: "Sequence[PathLike | Artifact]",
    inputs: PathLike | None,
    target: str | None,
    options: Mapping[str, object] | None,
    work: Path,
    rows: int,
) -> tuple[Path | None, str | None, dict[str, str]]:
    """Which inputs, which target and which options: those that are given, or else what the artifacts among the files know.

    Raises:
        RequestError: artifacts of several targets, of which one is not told from its name, or opened in several ways.
    """
    known = [one for one in files if not isinstance(one, PATHS)]
    if known and target is None and options is None:
        target, options = _common(known, whole=len(known) == len(files))
    arrays = Path(inputs) if inputs is not None else None
    if arrays is None and len(known) == len(files):
        arrays = known[0].write_inputs(work / "inputs.npz", rows) if len({one.takes for one in known}) == 1 else None
    return arrays, target, {name: _text(value) for name, value in (options or {}).items()}


def _text(value: object) -> str:
    """An option's value as a command line writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _common(artifacts: "Sequence[Artifact]", whole: bool) -> tuple[str | None, Mapping[str, object]]:
    """The target and the options by which artifacts are measured together; no target where their files' names tell it.

    Raises:
        RequestError: they cannot be measured together.
    """
    from tightship.benching.bench import target_of

    targets, options = {one.target for one in artifacts}, artifacts[0].options
    if any(dict(one.options) != dict(options) for one in artifacts) or (options and not whole):
        raise RequestError("the files are opened with different options; measure them apart, or give `options` for all.")
    usual = all(target_of(one.path).name == one.target for one in artifacts)
    if not usual and (len(targets) > 1 or not whole):
        raise RequestError(
            f"of the targets {', '.join(sorted(targets))} one is not told from its file's name; measure them apart."
        )
    return (None if usual else artifacts[0].target), options
