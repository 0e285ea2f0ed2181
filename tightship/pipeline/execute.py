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
from tightship.pipeline.failures import Failures
from tightship.pipeline.isolated.messages import Order
from tightship.pipeline.isolated.process import ISOLATED, IsolatedProcess, knows_all
from tightship.pipeline.progress import Progress
from tightship.pipeline.rehearsal import choose, computing, said
from tightship.pipeline.stages import compression, convert, export, parity
from tightship.pipeline.stages.job import Job
from tightship.pipeline.stages.measuring import loop, measure
from tightship.pipeline.stages.measuring.results import LoopResult, MeasureResult
from tightship.pipeline.stages.results import (
    CheckResult,
    DataResult,
    ExportResult,
    NetworkResult,
    SensitivityResult,
    StageResult,
)
from tightship.planning.plan import Plan
from tightship.planning.step_configs import StepConfig
from tightship.planning.steps import SOURCE, Kind, Step
from tightship.planning.threads import Choice, is_open, remembered
from tightship.store import Store
from zoo.data import load_data


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
    "loop": Stage(loop.run_loops, LoopResult),
}


def execute(plan: Plan, store: Store, progress: Progress, failures: Failures | None = None) -> Entries:
    """Run every step that is not in the store, in order.

    What fails for one artifact is noted down in `failures`, and all else goes on without it; without them it is raised.
    Files are made in a process of its own.

    Raises:
        TightshipError: a step failed that others cannot do without.
    """
    execution = _Execution(plan, store, progress, failures)
    try:
        return execution.run()
    finally:
        execution.isolated.close()


class _Execution:
    """One plan on its way."""

    def __init__(self, plan: Plan, store: Store, progress: Progress, failures: Failures | None) -> None:
        self.plan, self.store, self.progress, self.failures = plan, store, progress, failures
        self.entries, self.keys, self.choices = Entries(), dict[str, str](), dict[str, Choice]()
        self.data = plan.recipe.data.ref()
        self.task = cache(lambda: load_data(self.data))
        self.isolated = IsolatedProcess()

    def run(self) -> Entries:
        """Every step; one that fails for a single artifact takes the steps of that artifact with it."""
        total = len(self.plan.steps)
        for index, name in enumerate(step.name for step in self.plan.steps):
            self.progress.begin(name, index, total)
            while (step := next((s for s in self.plan.steps if s.name == name), None)) is not None:
                try:
                    self._do(step)
                except TightshipError as error:
                    if self.failures is None or not self.failures.take(self.plan, step, error, self._logs(step)):
                        raise
                    self.plan = self.failures.left(self.plan)
                    continue
                self.progress.end(name, self.entries[name])
                break
        return self.entries

    def _logs(self, step: Step) -> list[Path]:
        key = self.keys.get(step.name, "")
        return [_log(self.store, key), *sorted(self.store.work_folder(key).glob("*.log"))] if key else []

    def _do(self, step: Step) -> None:
        needed = {name: self.entries[other] for name, other in step.needs.items()}
        # by key: two steps that do the same work share an entry, whatever the steps they need are called
        digests = {entry.key: entry.digest for entry in needed.values()}
        key, stage, work = self.plan.key(step, self.keys), STAGES[step.kind], self.store.work_folder
        self.keys[step.name], log = key, _log(self.store, key)
        job = Job(step.config, needed, work(key), work(key), self.store.root, self.task, self.progress.update)
        if is_open(step):
            chosen = remembered(key, self.store) or choose(key, self.store, job, captured(log, step.name))
            self.choices[step.name] = chosen
            key = self.keys[step.name] = self.plan.key(step, self.keys, chosen.threads)
        if step.kind in ("measure", "loop"):
            self.isolated.close()  # what is timed has the machine to itself
        own = self.choices.get(step.name)
        # a network's files are made with as many threads as it was trained with
        threads = own or self.choices.get(step.needs.get(SOURCE, ""))

        def make(folder: Path, work: Path) -> StageResult:
            mine = replace(job, out=folder, work=work)
            if step.kind in ISOLATED and knows_all():
                return said(self.isolated.do(self._order(step, mine, log, threads), mine.progress), own)
            with captured(log, step.name), computing(threads):
                return said(stage.run(mine), own)

        self.entries.add(step.name, self.store.get(key, digests, stage.result, make))

    def _order(self, step: Step, job: Job[StepConfig], log: Path, threads: Choice | None) -> Order:
        torch = sys.modules.get("torch")
        as_here = torch.get_num_threads() if torch else None
        return Order(
            step.name, step.kind, job.config, job.inputs, job.out, job.work, job.memory, log, self.data, threads, as_here
        )


def _log(store: Store, key: str) -> Path:
    return store.root / "logs" / f"{key[:16]}.log"


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
