"""Run a recipe: check, probe, execute what is not in the store, then judge and write it all down."""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from artifacts.errors import StageCrashed, TargetUnavailable, TightshipError
from artifacts.files import sha256_json, write_atomic
from artifacts.openmp import spin_briefly
from artifacts.records.evidence import Evidence, Machine, NotRun
from artifacts.types import Availability
from benchmarks.machine import describe
from runtimes.probe import missing_library, probe
from runtimes.registry import find
from runtimes.target import Target
from tightship.pipeline.entries import Entries
from tightship.pipeline.evidence import assemble
from tightship.pipeline.progress import Progress
from tightship.pipeline.rehearsal import choose, computing, said
from tightship.pipeline.run_folder import lay_out
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
from tightship.planning.export_options import check_operators, check_scripted
from tightship.planning.plan import Plan, make_plan
from tightship.planning.stage_order import check_chain
from tightship.planning.step_configs import StepConfig
from tightship.planning.steps import SOURCE, Kind
from tightship.planning.target_selection import TargetSelection, measured_on, select_targets
from tightship.planning.threads import Choice, is_open, remembered
from tightship.recipe.recipe import Recipe
from tightship.store import Store, versions
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

WRITTEN = ("artifacts", "selftest", "reproducers", "evidence.json", "report.html", "junit.xml", "summary.md")
"""What a run writes into its folder, beside the bundles; each is written under a hidden name first."""


@dataclass(frozen=True)
class Ran:
    """A finished run."""

    evidence: Evidence
    out: Path
    bundle: Path | None
    """The best artifact, packed; none if nothing passed."""


def run(
    recipe: Recipe, out: Path, store: Store, command: str, progress: Progress, selection: TargetSelection | None = None
) -> Ran:
    """Run a recipe, or only the rows of its targets that are asked for, and write evidence, report and bundle into `out`.

    Raises:
        RequestError: the recipe asks for something that cannot be.
        TargetUnavailable: a target that is not optional cannot run here.
        StageCrashed: a stage died; names its log.
    """
    spin_briefly()
    check_chain(recipe)
    check_operators(recipe)
    check_scripted(recipe)
    machine = describe()
    selection = selection or select_targets(recipe)
    not_run = unavailable(recipe, selection, store, machine)
    skipped = frozenset(n.target for n in not_run)
    plan = make_plan(recipe, machine.fingerprint(), skipped, converted_here(skipped), selection)
    entries = execute(plan, store, progress)
    with alone(out, store):
        sweep(out)
        lay_out(plan, entries, out)
        evidence = selection.mark(assemble(plan, entries, machine, not_run, out, command))
        return Ran(evidence, out, write_views(evidence, out))


def alone(out: Path, store: Store) -> FileLock:
    """Runs that write into one folder wait for each other."""
    locks = store.root / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    return FileLock(locks / f"{sha256_json(str(out.resolve()))}.lock")


def sweep(out: Path) -> None:
    """Remove from a run's folder what a killed run left half-written, and bundles of an earlier run."""
    half = [left for name in WRITTEN for left in out.glob(f".{name}.*")]
    for path in (*half, out / "bundles"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def unavailable(recipe: Recipe, selection: TargetSelection, store: Store, machine: Machine) -> tuple[NotRun, ...]:
    """The optional targets that were asked for and cannot run here; each once, however many rows it has.

    Raises:
        TargetUnavailable: one that is not optional cannot, or one on which a stage of the chain measures, or no one
            of those that `--target` names.
    """
    names = dict.fromkeys(row.name for row in selection.rows)
    must = {row.name for row in selection.rows if not row.optional}
    # a network that is pruned for a target is timed there, whether or not that target was asked for
    timed = {name for stage in recipe.compress if (name := measured_on(stage)) and name not in names}
    found = []
    for name in (*names, *sorted(timed)):
        answer = availability(find(name), store, machine)
        if answer.available:
            continue
        if name in timed:
            raise TargetUnavailable(f"the chain measures on {name!r}, which cannot run here: {answer.reason}; fix it.")
        if name in must:
            raise TargetUnavailable(f"target {name!r} cannot run here: {answer.reason}; {_way_out(name)}.")
        found.append(NotRun(name, answer.reason))
    if selection.left_out and len(found) == len(names) and not converted_here(frozenset(names)):
        why = "; ".join(f"{missing.target}: {missing.reason}" for missing in found)
        raise TargetUnavailable(f"none of the targets asked for can run here: {why}; ask for another with --target.")
    return tuple(found)


def _way_out(name: str) -> str:
    if converted_here(frozenset((name,))):
        return "run it there, or say `optional: true` in the recipe, and its files are converted and not run"
    return "fix it, or say `optional: true` in the recipe"


def converted_here(targets: frozenset[str]) -> frozenset[str]:
    """Those of the targets that run on another system only, and whose files can be made on this one."""
    return frozenset(name for name in targets if find(name).runs_elsewhere and missing_library(find(name)) is None)


def availability(target: Target, store: Store, machine: Machine) -> Availability:
    """Whether a target works here; a yes is remembered until a library or the machine changes."""
    key = sha256_json([target.name, versions(target.libraries), machine.fingerprint(), sys.prefix])
    remembered = store.root / "probes" / f"{key}.json"
    if remembered.is_file():
        return Availability(True, remembered.read_text())
    answer = probe(target)
    if answer.available:
        write_atomic(remembered, answer.reason)
    return answer


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


def write_views(evidence: Evidence, out: Path) -> Path | None:
    """Write evidence.json and all that is made from it; pack the best artifact if a bundle can hold it."""
    from tightship.bundling.pack import make_bundle, unpackable
    from tightship.reporting import write_views as write_report

    evidence.write(out / "evidence.json")
    write_report(evidence, out)
    best = evidence.verdict.best
    return make_bundle(out) if best and not unpackable(evidence.artifact(best)) else None
