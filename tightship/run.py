"""Run a recipe: check, probe, execute what is not in the store, then judge and write it all down."""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from artifacts.errors import StageCrashed, TargetUnavailable, TightshipError
from artifacts.evidence import Evidence, Machine, NotRun
from artifacts.files import sha256_json, write_atomic
from artifacts.types import Availability
from benchmarks.machine import describe
from runtimes.probe import missing_library, probe
from runtimes.registry import Target, find
from tightship.chain import check_chain
from tightship.evidence import assemble, lay_out
from tightship.plan import Plan, make_plan
from tightship.progress import Progress
from tightship.recipe import Recipe
from tightship.stages import converting, deploying, training
from tightship.stages.job import Job, Shared
from tightship.steps import Step
from tightship.store import Entry, Result, Store, versions

STAGES: dict[str, Callable[[Job], Result]] = {
    "data": training.describe_data,
    "start": training.start,
    "distil": training.distil,
    "prune": training.prune_model,
    "factorize": training.factorize_model,
    "palettize": training.palettize_model,
    "quantize": training.quantize,
    "export": deploying.export,
    "convert": converting.convert,
    "guard": deploying.export_guarded,
    "check": deploying.check,
    "measure": deploying.measure_all,
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


def run(recipe: Recipe, out: Path, store: Store, command: str, progress: Progress) -> Ran:
    """Run a recipe and write evidence, report and bundle into `out`.

    Raises:
        RequestError: the recipe asks for something that cannot be.
        TargetUnavailable: a target that is not optional cannot run here.
        StageCrashed: a stage died; names its log.
    """
    check_chain(recipe)
    machine = describe()
    not_run = unavailable(recipe, store, machine)
    skipped = frozenset(n.target for n in not_run)
    plan = make_plan(recipe, machine.fingerprint(), skipped, converted_here(skipped))
    entries = execute(plan, store, progress)
    with alone(out, store):
        sweep(out)
        lay_out(plan, entries, out)
        evidence = assemble(plan, entries, machine, not_run, out, command)
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


def unavailable(recipe: Recipe, store: Store, machine: Machine) -> tuple[NotRun, ...]:
    """The optional targets that cannot run here.

    Raises:
        TargetUnavailable: one that is not optional cannot.
    """
    found = []
    for wanted in recipe.targets:
        answer = availability(find(wanted.name), store, machine)
        if answer.available:
            continue
        if not wanted.optional:
            way_out = "mend that, or say `optional: true` in the recipe"
            if converted_here(frozenset((wanted.name,))):
                way_out = "run it there, or say `optional: true` in the recipe, and its files are converted and not run"
            raise TargetUnavailable(f"target {wanted.name!r} cannot run here: {answer.reason}; {way_out}.")
        found.append(NotRun(wanted.name, answer.reason))
    return tuple(found)


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
    shared = Shared(plan.recipe, store.root)
    for index, step in enumerate(plan.steps):
        progress.begin(step.name, index, len(plan.steps))
        needed = {name: entries[name] for name in step.needs}
        digests = {name: entry.digest for name, entry in needed.items()}

        def make(folder: Path, work: Path, step: Step = step, needed: Mapping[str, Entry] = needed) -> Result:
            job = Job(plan.recipe, step, needed, folder, work, shared, progress.update)
            log = store.root / "logs" / f"{plan.keys[step.name][:16]}.log"
            with captured(log, step.name):
                return STAGES[step.kind](job)

        entries[step.name] = store.get(plan.keys[step.name], digests, make)
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
    from tightship.bundle import make_bundle, unpackable
    from tightship.report import write_views as write_report

    evidence.write(out / "evidence.json")
    write_report(evidence, out)
    best = evidence.verdict.best
    return make_bundle(out) if best and not unpackable(evidence.artifact(best)) else None
