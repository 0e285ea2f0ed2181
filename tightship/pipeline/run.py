"""Run a recipe: check, probe, execute what is not in the store, then judge and write it all down."""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock

from artifacts.errors import StageCrashed, TargetUnavailable, TightshipError
from artifacts.files import sha256_json, write_atomic
from artifacts.openmp import spin_briefly
from artifacts.records.evidence import Evidence, Machine, NotRun
from artifacts.types import Availability
from benchmarks.machine import describe
from runtimes.probe import missing_library, probe
from runtimes.registry import Target, find
from tightship.pipeline.evidence import assemble, lay_out
from tightship.pipeline.progress import Progress
from tightship.pipeline.rehearsal import choose, computing, said
from tightship.pipeline.stages import compression, convert, export, measure, parity
from tightship.pipeline.stages.job import Job, Shared
from tightship.planning.export_options import check_operators, check_scripted
from tightship.planning.plan import Plan, make_plan
from tightship.planning.stage_order import check_chain
from tightship.planning.target_selection import Asked, ask, measured_on
from tightship.planning.threads import Choice, is_open, remembered
from tightship.recipe.recipe import Recipe
from tightship.store import Entry, Result, Store, versions

STAGES: dict[str, Callable[[Job], Result]] = {
    "data": compression.describe_data,
    "start": compression.start,
    "distil": compression.distil,
    "prune": compression.prune_model,
    "factorize": compression.factorize_model,
    "palettize": compression.palettize_model,
    "quantize": compression.quantize,
    "export": export.export,
    "convert": convert.convert,
    "guard": export.export_guarded,
    "check": parity.check,
    "sensitivity": measure.rank_layers,
    "measure": measure.measure_all,
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


def run(recipe: Recipe, out: Path, store: Store, command: str, progress: Progress, asked: Asked | None = None) -> Ran:
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
    asked = asked or ask(recipe)
    not_run = unavailable(recipe, asked, store, machine)
    skipped = frozenset(n.target for n in not_run)
    plan = make_plan(recipe, machine.fingerprint(), skipped, converted_here(skipped), asked)
    entries = execute(plan, store, progress)
    with alone(out, store):
        sweep(out)
        lay_out(plan, entries, out)
        evidence = asked.mark(assemble(plan, entries, machine, not_run, out, command))
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


def unavailable(recipe: Recipe, asked: Asked, store: Store, machine: Machine) -> tuple[NotRun, ...]:
    """The optional targets that were asked for and cannot run here; each once, however many rows it has.

    Raises:
        TargetUnavailable: one that is not optional cannot, or one on which a stage of the chain measures, or no one
            of those that `--target` names.
    """
    names = dict.fromkeys(row.name for row in asked.rows)
    must = {row.name for row in asked.rows if not row.optional}
    # a network that is pruned for a target is timed there, whether or not that target was asked for
    timed = {name for stage in recipe.compress if (name := measured_on(stage)) and name not in names}
    found = []
    for name in (*names, *sorted(timed)):
        answer = availability(find(name), store, machine)
        if answer.available:
            continue
        if name in timed:
            raise TargetUnavailable(f"the chain measures on {name!r}, which cannot run here: {answer.reason}; mend that.")
        if name in must:
            raise TargetUnavailable(f"target {name!r} cannot run here: {answer.reason}; {_way_out(name)}.")
        found.append(NotRun(name, answer.reason))
    if asked.left_out and len(found) == len(names) and not converted_here(frozenset(names)):
        why = "; ".join(f"{missing.target}: {missing.reason}" for missing in found)
        raise TargetUnavailable(f"none of the targets asked for can run here: {why}; ask for another with --target.")
    return tuple(found)


def _way_out(name: str) -> str:
    if converted_here(frozenset((name,))):
        return "run it there, or say `optional: true` in the recipe, and its files are converted and not run"
    return "mend that, or say `optional: true` in the recipe"


def converted_here(targets: frozenset[str]) -> frozenset[str]:
    """Those of the targets that run on another system only, and whose files can be made on this one."""
    return frozenset(name for name in targets if find(name).elsewhere and missing_library(find(name)) is None)


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


def execute(plan: Plan, store: Store, progress: Progress) -> dict[str, Entry]:
    """Run every step that is not in the store, in order."""
    entries: dict[str, Entry] = {}
    keys: dict[str, str] = {}
    choices: dict[str, Choice] = {}
    shared = Shared(plan.recipe, store.root)
    for index, step in enumerate(plan.steps):
        progress.begin(step.name, index, len(plan.steps))
        needed = {name: entries[name] for name in step.needs}
        # by key: two steps that do the same work share an entry, whatever the steps they need are called
        digests = {entry.key: entry.digest for entry in needed.values()}
        key = plan.key(step, keys)
        log = store.root / "logs" / f"{key[:16]}.log"
        job = Job(plan.recipe, step, needed, store.work_folder(key), store.work_folder(key), shared, progress.update)
        if is_open(step):
            choice = choices[step.name] = remembered(key, store) or choose(key, store, job, captured(log, step.name))
            key = plan.key(step, keys, choice.threads)
        keys[step.name] = key

        def make(folder: Path, work: Path, job: Job = job, log: Path = log) -> Result:
            chosen = choices.get(job.step.name)
            # a network's files are made with as many threads as it was trained with
            source = job.step.artifact.source if job.step.artifact else ""
            with captured(log, job.step.name), computing(chosen or choices.get(source)):
                return said(STAGES[job.step.kind](replace(job, out=folder, work=work)), chosen)

        entries[step.name] = store.get(key, digests, make)
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
