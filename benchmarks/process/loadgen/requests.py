"""What the parent asks of the child for a run of LoadGen."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from artifacts.json import JsonObject, read
from artifacts.types import Arrays
from benchmarks.process.answers import LoadAnswer
from benchmarks.process.loadgen.checks import check_logged
from benchmarks.process.loadgen.plan import LoadPlan, SampleCut
from benchmarks.process.loadgen.samples import Samples
from benchmarks.process.loadgen.system import System, drive
from benchmarks.process.stopwatch import time_calls, watched

PACE_SECONDS, PACE_CALLS = 0.2, 5


def pace(run: Callable[[Arrays], Arrays], inputs: Arrays, cut: JsonObject) -> float:
    """Samples per second of calls back to back, with as many samples in each as a `SampleCut` lets share one."""
    sizes = read(SampleCut, cut)
    feeds = Samples(inputs, sizes.count, sizes.per).feeds([i % sizes.count for i in range(sizes.most)])
    times, _ = time_calls(lambda: run(feeds), PACE_SECONDS, PACE_CALLS)
    return sizes.most / (float(np.median(times)) / 1e9)


def under_load(
    run: Callable[[Arrays], Arrays],
    inputs: Arrays,
    folder: Path,
    plan: JsonObject,
    cut: JsonObject,
    pace: float,
    min_queries: int,
) -> LoadAnswer:
    """One run of LoadGen by a `LoadPlan` on samples by a `SampleCut`; what was answered, checked and seen.

    Raises:
        ParityFailed: the outputs under load are not those of plain runs.
    """
    sizes, asked = read(SampleCut, cut), read(LoadPlan, plan)
    system = System(run, Samples(inputs, sizes.count, sizes.per), sizes.most)
    _, answered, seen = watched(lambda: drive(system, folder, asked, pace, min_queries), 0.0, 1)
    checked = check_logged(folder, system.samples, run, asked.accuracy)
    return LoadAnswer(answered, checked, seen)
