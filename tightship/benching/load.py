"""Put any file that `bench` opens under load: LoadGen's scenarios, minutes of calls, several callers."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.arrays import save_arrays
from artifacts.errors import RequestError, nearest
from artifacts.json import Row
from artifacts.types import Engine
from benchmarks.machine import describe
from benchmarks.process.loadgen.plan import SCENARIOS, LoadPlan
from benchmarks.process.loadgen.samples import Samples
from benchmarks.process.loadgen.system import load_generator
from benchmarks.scenarios.concurrency import sweep
from benchmarks.scenarios.loadgen import Loaded, LoadRun, SampleSet
from benchmarks.scenarios.sustained import drift, sustain
from tightship.benching.bench import batch_of, engine_of, feeds_for, refuse_batch
from tightship.benching.inputs import lead, made_up, side_by_side

ALL = (*SCENARIOS, "sustained", "concurrency")
SECONDS = {"sustained": 120.0, "concurrency": 1.0}
"""By default; LoadGen's scenarios run 10 s."""
MADE_UP = 16
"""Examples that are made up where none are given."""
MOST_CALLERS = 64

Progress = Callable[[float, str], None]


def load_file(
    path: Path,
    scenario: str,
    inputs: Path | None = None,
    target: str | None = None,
    *,
    threads: int = 1,
    seconds: float | None = None,
    batch: int | None = None,
    callers: Sequence[int] = (),
    folder: Path | None = None,
    repeats: int = 1,
    progress: Progress = lambda share, message: None,
    **options: Any,
) -> Row:
    """Run one scenario on one file.

    Args:
        path: an exported file, ours or external.
        scenario: one of `ALL`.
        inputs: an NPZ with one array per input; made up if none.
        target: where to run; by default told from the file's name.
        threads: CPU threads of the engine.
        seconds: LoadGen's minimum duration; of `sustained` altogether; of `concurrency` one turn.
        batch: LoadGen: the most samples in a call; else examples in a call.
        callers: of `concurrency`.
        folder: where logs are kept; by default a new one under `runs/load`.
        repeats: how often LoadGen runs again where others disturbed it.
        progress: told the share done.
        options: the other fields of `LoadPlan`.

    Returns:
        Plain data, ready for JSON.

    Raises:
        RequestError: the file, the inputs or the options are wrong.
        TargetUnavailable: LoadGen or the runtime is missing.
        ParityFailed: outputs under load are not those of plain runs.
    """
    if scenario not in ALL:
        raise RequestError(f"--scenario {scenario} is unknown; {nearest(scenario, ALL)}.")
    plan = _plan(scenario, seconds, batch, callers, options)
    if plan:
        load_generator()
    engine = engine_of(path, target, inputs)
    samples, words = sample_set(engine, inputs, batch)
    place = folder or _new_folder(path, scenario)
    said = {
        "file": str(path), "target": engine.target, "scenario": scenario, "threads": threads, "inputs": words,
        "machine": asdict(describe()), "folder": str(place),
    }  # fmt: skip
    if plan:
        return said | _loadgen(engine, samples, plan, place, threads, repeats)
    return said | _calls(engine, samples, batch, scenario, place, threads, seconds or SECONDS[scenario], callers, progress)


def _plan(scenario: str, seconds: float | None, batch: int | None, callers: Sequence[int], options: Row) -> LoadPlan | None:
    """LoadGen's plan; none for a scenario of our own, which takes none of its options."""
    if callers and scenario != "concurrency":
        raise RequestError(f"--callers belongs to --scenario concurrency, not {scenario}.")
    if scenario in SCENARIOS:
        return LoadPlan(scenario=scenario, seconds=10.0 if seconds is None else seconds, batch=batch, **options)
    wrong = next((name for name, value in options.items() if value), None)
    if wrong:
        raise RequestError(f"--{wrong.replace('_', '-')} belongs to LoadGen's scenarios, not to {scenario}.")
    if seconds is not None and not 0 < seconds < float("inf"):
        raise RequestError(f"--seconds must be above 0, not {seconds:g}.")
    if max(callers, default=1) > MOST_CALLERS:
        raise RequestError(f"--callers {max(callers)} would start as many processes; at most {MOST_CALLERS}.")
    return None


def sample_set(engine: Engine, inputs: Path | None, batch: int | None) -> tuple[SampleSet, str]:
    """The samples of a file, and in words where they come from.

    Raises:
        RequestError: the file takes another number of examples at once than `batch`, or one that cannot be chosen.
    """
    fixed = batch_of([engine])
    stack = fixed is None and side_by_side(engine.signature)
    if batch is not None and not stack and batch not in (1, fixed):
        takes = f"{fixed} examples at once" if fixed else "one example at once, because not all inputs have them side by side"
        raise RequestError(f"{engine.path.name} takes {takes}, not {batch}; leave --batch out, or export it dynamic.")
    if batch is not None:
        refuse_batch(engine, batch)
    per = fixed or 1
    feeds = feeds_for([engine], inputs, per if inputs or not stack else engine.signature.most(MADE_UP))
    first = lead(engine.signature)
    rows = len(feeds[first.name]) if first else per
    count = max(1, rows // per)
    # fewer examples than a call takes go round; more than whole calls take are left
    picks = np.arange(count * per) % rows
    cut = {name: v[picks] if v.ndim and len(v) == rows else v for name, v in feeds.items()}
    return SampleSet(cut, count, per, stack), str(inputs) if inputs else made_up(feeds)


def _loadgen(engine: Engine, samples: SampleSet, plan: LoadPlan, folder: Path, threads: int, repeats: int) -> Row:
    with Loaded(engine, samples, plan, folder, threads) as loaded:
        sizes = {"samples": samples.count, "examples_per_sample": samples.per, "batch": loaded.most(plan)}
        if not plan.find_qps:
            return sizes | _told(loaded.run("log", repeats=repeats))
        best, tried = loaded.find_qps(repeats)
    searched = [{"target_qps": run.target_qps, "valid": run.valid, "unmet": run.log.unmet} for run in tried]
    return sizes | _told(best or tried[-1]) | {"found_qps": best.target_qps if best else None, "search": searched}


def _told(run: LoadRun) -> Row:
    return {
        "valid": run.log.valid, "target_qps": run.target_qps, "loadgen": asdict(run.log), "answered": run.answered,
        "checked": run.checked, "logs": run.folder, "noise": asdict(run.noise),
    }  # fmt: skip


def _calls(
    engine: Engine, samples: SampleSet, batch: int | None, scenario: str, folder: Path, threads: int, seconds: float,
    callers: Sequence[int], progress: Progress,
) -> Row:  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    cut = Samples(samples.feeds, samples.count, samples.per)
    many = batch or 1 if samples.stack else 1
    one = folder / "one.npz"
    save_arrays(one, cut.feeds([i % samples.count for i in range(many)]))
    size = {"batch": many * samples.per, "seconds": seconds}
    if scenario == "sustained":
        windows, watch = sustain(engine, one, folder, seconds, threads, progress)
        found = asdict(drift(windows))
        return size | {"drift": found, "windows": [asdict(w) for w in windows], "noise": asdict(watch.record())}
    made = sweep(engine, one, folder, callers or default_callers(), seconds, threads, progress)
    levels = [asdict(level) | {"efficiency": level.efficiency} for level in made.levels]
    return size | {"levels": levels, "scales_to": made.scales_to, "noise": asdict(made.noise)}


def default_callers() -> tuple[int, ...]:
    """Powers of two, up to twice the cores."""
    cores, found = describe().cores, [1]
    while found[-1] < 2 * cores and found[-1] < MOST_CALLERS:
        found.append(2 * found[-1])
    return tuple(found)


def _new_folder(path: Path, scenario: str) -> Path:
    """A folder that is not there yet, named for the file, the scenario and the time."""
    name = re.sub(r"[^\w.-]", "_", f"{path.parent.name}-{path.stem}-{scenario}")
    place = Path("runs") / "load" / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    found, again = place, 1
    while found.exists():
        again += 1
        found = place.with_name(f"{place.name}-{again}")
    return found
