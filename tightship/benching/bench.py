"""Measure files that may come from anywhere: find their target and their inputs, then interleave them."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from artifacts.errors import RequestError
from artifacts.json import Row
from artifacts.records.measured import bounds_of
from artifacts.types import Arrays, Engine
from benchmarks.timing.energy import Meter
from benchmarks.timing.measure import Measured, MeasurePlan, measure
from benchmarks.timing.noise import NoiseMonitor
from benchmarks.timing.statistics import interval, quantile
from export.registry import FORMATS, of_suffix
from runtimes.options import Options, from_text
from runtimes.registry import find, opening
from runtimes.target import Target
from tightship.benching.energy import calls_of, raw_example_for
from tightship.benching.inputs import bytes_of_files, given, kind_of, lead, made_up, runnable, side_by_side
from tightship.benching.inputs import synthesise as synthesise
from tightship.benching.roofline import Roofs
from tightship.benching.signatures import signature_of

BLOCKS = 4
THROUGHPUT_BATCH = 32


def bench_files(
    files: Sequence[Path],
    inputs: Path | None,
    target: str | None,
    *,
    processes: int,
    seconds: float,
    threads: Sequence[int] = (1,),
    batches: Sequence[int] = (),
    options: Mapping[str, str] | None = None,
    roofline: bool = False,
    end_to_end: bool = False,
) -> list[Row]:
    """One row of figures per file, batch size and number of threads; files that take the same inputs are measured together.

    Args:
        files: exported files, ours or external.
        inputs: an NPZ with one array per input; made up if none.
        target: where to run; by default told from the file's name.
        processes: fresh processes for each row.
        seconds: seconds of timing in each process.
        threads: CPU threads, one sweep for each.
        batches: examples per call; by default what the files take, else 1.
        options: how the target opens them, as text: its options' names and values.
        roofline: whether this machine's peaks are measured, and each file's layers.
        end_to_end: whether calls from a raw example to the labels are timed, of files in the folder of their run.

    Raises:
        RequestError: a file is missing, its kind or inputs cannot be told, it takes another batch, or its target does not
            know an option.
    """
    engines = [engine_of(path, target, inputs, options) for path in files]
    groups = _alike(engines, inputs)
    roofs = Roofs([engine.target for engine in engines]) if roofline else None
    rows: list[Row] = []
    for count in threads:
        for batch in batches or (None,):
            # all plans are made, and refused, before anything is measured
            plans = [(g, plan_for([engines[i] for i in g], batch, processes, seconds, count)) for g in groups]
            found: dict[int, Row] = {}
            for group, plan in plans:
                of = _measure([files[i] for i in group], [engines[i] for i in group], inputs, plan, roofs, end_to_end)
                found |= dict(zip(group, of, strict=True))
            rows += [found[place] for place in range(len(files))]
    return rows


def _told(target: Target, options: Mapping[str, str]) -> Options:
    """A target's options from text.

    Raises:
        RequestError: the target does not know one, or it belongs to the making of a file.
    """
    given = {name: from_text(target.options_kind(), name, text) for name, text in options.items()}
    read = target.read_options(given)
    making = [name for name in given if name in read.non_default() and name in (*read.making, *read.beside)]
    if making:
        raise RequestError(
            f"option {making[0]} makes another file, and `bench` measures files as they are; say it in a recipe, or not at all."
        )
    return read


def _alike(engines: Sequence[Engine], inputs: Path | None) -> list[list[int]]:
    """The places of files that run the same inputs; made-up ones of one file may not fit another, such as its int8 form."""
    groups: dict[object, list[int]] = {}
    for place, engine in enumerate(engines):
        groups.setdefault(None if inputs else kind_of(engine.signature), []).append(place)
    return list(groups.values())


def _row(path: Path, engine: Engine, raw: Measured, plan: MeasurePlan) -> Row:
    low, high = interval(raw.medians)
    return {
        "file": str(path), "target": engine.target, "p50_ms": quantile(raw.samples, 0.5), "ci95_ms": list(bounds_of(low, high)),
        "p90_ms": quantile(raw.samples, 0.9), "p99_ms": quantile(raw.samples, 0.99), "samples": len(raw.samples),
        "batch": plan.latency_batch, "throughput_per_s": raw.throughput_per_s, "throughput_batch": plan.throughput_batch,
        "cold_start_ms": float(np.mean([c.total for c in raw.cold_ms])),
        "peak_rss_mb": max(raw.peak_rss_mb), "rss_load_mb": max(raw.rss_load_mb), "rss_run_mb": max(raw.rss_run_mb),
        "bytes": shipped_bytes(path), "processes": plan.processes,
        "threads": find(engine.target).read_options(engine.options).threads or plan.threads,
        "warm_calls": max(w.warm_calls for w in raw.warmups), "warm_ms": max(w.warm_ms for w in raw.warmups),
        "settled": all(w.settled for w in raw.warmups), "noise": asdict(raw.noise) if raw.noise else None,
        "options": dict(engine.options),
    }  # fmt: skip


def plan_for(engines: Sequence[Engine], batch: int | None, processes: int, seconds: float, threads: int) -> MeasurePlan:
    """How much is measured of these files.

    Raises:
        RequestError: one of them takes another number of examples at once, or was exported for fewer or more.
    """
    fixed = batch_of(engines)
    if fixed is not None and batch not in (None, fixed):
        raise RequestError(f"the files take {fixed} examples at once, not {batch}; leave --batch out, or export it dynamic.")
    signatures = [e.signature for e in engines]
    first = batch or fixed or max(s.most(1) for s in signatures)
    for engine in engines:
        refuse_batch(engine, first)
    # where an input has no examples side by side, such as a recurrent state, a larger batch cannot be put together
    alike = all(side_by_side(e.signature) for e in engines)
    many = fixed or (max(first, min(s.most(THROUGHPUT_BATCH) for s in signatures)) if alike else first)
    return MeasurePlan(
        processes, BLOCKS, seconds / BLOCKS, threads=threads, latency_batch=first, throughput_batch=many,
        repeats=BLOCKS * processes // 2, whole=bytes_of_files(engines[0].signature),
    )  # fmt: skip


def refuse_batch(engine: Engine, batch: int) -> None:
    """Hold a number of examples against the range that a file was exported for.

    Raises:
        RequestError: it lies outside.
    """
    if first := lead(engine.signature):
        engine.signature.refuse_outside({first.name: (batch,)}, f"{engine.path.name} at batch {batch}")


def feeds_for(engines: Sequence[Engine], inputs: Path | None, batch: int) -> Arrays:
    """The examples to run: those given, or made-up ones that fit all files.

    Raises:
        RequestError: none are given and the files take different ones, or none could be made up; those given do not fit.
    """
    if inputs is not None:
        return given(engines, inputs, batch)
    if len({kind_of(e.signature) for e in engines}) > 1:
        raise RequestError("the files take different inputs; measure them apart, or give --inputs that fits all.")
    return runnable(engines, batch)


def _measure(
    files: Sequence[Path],
    engines: Sequence[Engine],
    inputs: Path | None,
    plan: MeasurePlan,
    roofs: Roofs | None,
    end_to_end: bool,
) -> list[Row]:
    feeds = feeds_for(engines, inputs, plan.latency_batch)
    names = {f"{i}-{p.name}": e for i, (p, e) in enumerate(zip(files, engines, strict=True))}
    watch = NoiseMonitor()
    watch.look_first()
    meter = Meter.find()
    meter.look_first()
    whole, no_whole = raw_example_for(engines) if end_to_end else (None, None)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(names, feeds, plan, Path(folder), watch=watch, meter=meter, whole=whole)
        medians = {name: quantile(raw.samples, 0.5) or 0.0 for name, raw in found.items()}
        placed = roofs.place(names, medians, plan, Path(folder)) if roofs else {}
    calls = calls_of(found, {name: e.target for name, e in names.items()}, meter, whole, no_whole)
    said = {"inputs": str(inputs) if inputs else made_up(feeds), "interleaved": len(files)}
    return [
        _row(path, names[name], raw, plan) | said | calls[name] | placed.get(name, {})
        for path, (name, raw) in zip(files, found.items(), strict=True)
    ]


def batch_of(engines: Sequence[Engine]) -> int | None:
    """The number of examples that the files take at once; none where it is theirs to choose."""
    first = (spec.shape[0] for e in engines if (spec := lead(e.signature)))
    return next((size for size in first if isinstance(size, int)), None)


def engine_of(path: Path, target: str | None, inputs: Path | None, options: Mapping[str, str] | None = None) -> Engine:
    """What to open: the target told from the name, the signature from the run's evidence, the file or the inputs.

    Args:
        path: the file.
        target: where to run it, if its name does not tell.
        inputs: an NPZ with one array per input, for files that do not say what they take.
        options: how the target opens it, as text.

    Raises:
        RequestError: the file is missing, its kind or its inputs cannot be told, or its target does not know an option.
        ModelError: it needs operators that ONNX Runtime does not have, and no library of them is given.
    """
    if not path.is_file():
        raise RequestError(f"there is no file {path}.")
    chosen = find(target) if target else target_of(path)
    told = _told(chosen, options or {})
    return Engine(chosen.name, path.resolve(), signature_of(path, inputs, chosen, told), options=told.non_default())


def target_of(path: Path) -> Target:
    """The first target that opens files with this ending.

    Raises:
        RequestError: no format has it.
    """
    known = of_suffix(path.suffix)
    chosen = opening(known.name) if known else None
    if chosen is None:
        endings = ", ".join(suffix for one in FORMATS.values() for suffix in one.suffixes)
        raise RequestError(f"cannot tell the runtime of {path.name}; known endings: {endings}, or give --target.")
    return chosen


def shipped_bytes(path: Path) -> int:
    """The bytes of a file with its sidecars: what lies beside it under the same name, and what its format has there."""
    family = [p for p in path.parent.iterdir() if p.is_file() and p.name.startswith(path.name)]
    known = of_suffix(path.suffix)
    family += known.beside(path) if known else ()
    return sum(p.stat().st_size for p in {p.resolve() for p in family} if p.is_file())
