"""Execute a plan: every step that the store lacks, in order."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from artifacts.errors import StageCrashed, TightshipError
from tightship.pipeline.entries import Entries
from tightship.pipeline.progress import Progress
from tightship.pipeline.rehearsal import choose, computing, said
from tightship.pipeline.stages import compression, convert, export, measure, parity
from tightship.pipeline.stages.job import Job
from tightship.pipeline.stages.results import (
    CheckResult,
    DataResult,
    ExportResult,
    MeasureResult,
    NetworkResult,
    SensitivityResult,
    StageResult,
)
from tightship.planning.plan import Plan
from tightship.planning.step_configs import StepConfig
from tightship.planning.steps import SOURCE, Kind
from tightship.planning.threads import Choice, is_open, remembered
from tightship.store import Store
from zoo.data import load_data
from zoo.splits import TaskData


@dataclass(frozen=True)
class Stage:
    """What a kind of step does, and what it makes."""

    run: Callable[[Job[Any]], StageResult]
    result: type[StageResult]


STAGES: Mapping[Kind, Stage] = {
    "data": Stage(compression.describe_data, DataResult),
    "start": Stage(compression.start, NetworkResult),
    "distil": Stage(compression.distil, NetworkResult),
    "prune": Stage(compression.prune_model, NetworkResult),
    "factorize": Stage(compression.factorize_model, NetworkResult),
    "palettize": Stage(compression.palettize_model, NetworkResult),
    "quantize": Stage(compression.quantize, NetworkResult),
    "export": Stage(export.export, ExportResult),
    "convert": Stage(convert.convert, ExportResult),
    "guard": Stage(export.export_guarded, ExportResult),
    "check": Stage(parity.check, CheckResult),
    "sensitivity": Stage(measure.rank_layers, SensitivityResult),
    "measure": Stage(measure.measure_all, MeasureResult),
}


def execute(plan: Plan, store: Store, progress: Progress) -> Entries:
    """Run every step that is not in the store, in order."""
    entries, keys, choices = Entries(), dict[str, str](), dict[str, Choice]()
    source = plan.recipe.data.ref()

    @cache
    def task() -> TaskData:
        return load_data(source)

    for index, step in enumerate(plan.steps):
        progress.begin(step.name, index, len(plan.steps))
        needed = {name: entries[other] for name, other in step.needs.items()}
        # by key: two steps that do the same work share an entry, whatever the steps they need are called
        digests = {entry.key: entry.digest for entry in needed.values()}
        key, stage = plan.key(step, keys), STAGES[step.kind]
        log = store.root / "logs" / f"{key[:16]}.log"
        job = Job(step.config, needed, store.work_folder(key), store.work_folder(key), store.root, task, progress.update)
        if is_open(step):
            choice = choices[step.name] = remembered(key, store) or choose(key, store, job, captured(log, step.name))
            key = plan.key(step, keys, choice.threads)
        keys[step.name] = key
        chosen = choices.get(step.name)
        # a network's files are made with as many threads as it was trained with
        threads = chosen or choices.get(step.needs.get(SOURCE, ""))

        def make(
            folder: Path, work: Path, job: Job[StepConfig] = job, log: Path = log, stage: Stage = stage, name: str = step.name,
            chosen: Choice | None = chosen, threads: Choice | None = threads,
        ) -> StageResult:  # fmt: skip
            with captured(log, name), computing(threads):
                return said(stage.run(replace(job, out=folder, work=work)), chosen)

        entries.add(step.name, store.get(key, digests, stage.result, make))
        progress.end(step.name, entries[step.name])
    return entries


@contextlib.contextmanager
def captured(log: Path, step: str) -> Iterator[None]:
    """Send what libraries print to a log; turn an unforeseen error into one sentence that names it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with log.open("wb") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        try:
            yield
        except TightshipError:
            raise
        except Exception as error:
            import traceback

            stream.write(traceback.format_exc().encode())
            raise StageCrashed(f"stage {step!r} crashed: {type(error).__name__}: {error}; see {log}.") from error
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, original in zip((1, 2), kept, strict=True):
                os.dup2(original, number)
                os.close(original)
