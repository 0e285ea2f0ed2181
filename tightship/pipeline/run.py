"""Run a recipe: check, probe, execute what is not in the store, then judge and write it all down."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from artifacts.files import sha256_json
from artifacts.openmp import spin_briefly
from artifacts.records.evidence import Evidence, NotRun
from benchmarks.machine import describe
from tightship.pipeline.availability import converted_here, unavailable
from tightship.pipeline.evidence import assemble
from tightship.pipeline.execute import execute
from tightship.pipeline.failures import Failures
from tightship.pipeline.progress import Progress
from tightship.pipeline.run_folder import lay_out
from tightship.planning.export_options import check_operators, check_scripted
from tightship.planning.plan import make_plan
from tightship.planning.stage_order import check_chain
from tightship.planning.target_selection import TargetSelection, select_targets
from tightship.recipe.recipe import Recipe
from tightship.store import Store

WRITTEN = (
    "artifacts", "selftest", "reproducers", "logs", "encoding.json", "evidence.json", "report.html", "junit.xml", "summary.md",
)  # fmt: skip
"""What a run writes into its folder, beside the bundles; each is written under a hidden name first."""


@dataclass(frozen=True)
class Ran:
    """A finished run."""

    evidence: Evidence
    out: Path
    bundle: Path | None
    """The best artifact, packed; none if nothing passed."""


def run(
    recipe: Recipe,
    out: Path,
    store: Store,
    command: str,
    progress: Progress,
    selection: TargetSelection | None = None,
    fail_fast: bool = False,
) -> Ran:
    """Run a recipe, or only the rows of its targets that are asked for, and write evidence, report and bundle into `out`.

    A file that cannot be made, checked or measured, and a target that cannot run here, cost their own rows, unless the run
    is to `fail_fast`.

    Raises:
        RequestError: the recipe asks for something that cannot be.
        TargetUnavailable: no target can run here, or one on which a stage of the chain measures.
        StageCrashed: a stage died that others build on; names its log.
    """
    spin_briefly()
    check_chain(recipe)
    check_operators(recipe)
    check_scripted(recipe)
    machine = describe()
    selection = selection or select_targets(recipe)
    failures, required = None if fail_fast else Failures(), list[NotRun]()
    not_run = unavailable(recipe, selection, store, machine, None if fail_fast else required)
    optional, missing = (frozenset(n.target for n in absent) for absent in (not_run, required))
    plan = make_plan(recipe, machine.fingerprint(), optional | missing, converted_here(optional), selection)
    entries = execute(plan, store, progress, failures)
    failures = failures or Failures()
    for absent in required:
        for row in (row for row in selection.rows if row.name == absent.target):
            failures.add_missing(row, absent.reason)
    failures.hold(plan, entries, fail_fast)
    plan = failures.left(plan)
    with alone(out, store):
        sweep(out)
        lay_out(plan, entries, out)
        evidence = assemble(plan, entries, machine, not_run, out, command, failures.lay_out(out))
        evidence = selection.mark(evidence)
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


def write_views(evidence: Evidence, out: Path) -> Path | None:
    """Write evidence.json and all that is made from it; pack the best artifact if a bundle can hold it."""
    from tightship.bundling.pack import make_bundle, unpackable
    from tightship.reporting import write_views as write_report

    evidence.write(out / "evidence.json")
    write_report(evidence, out)
    best = evidence.verdict.best
    return make_bundle(out) if best and not unpackable(evidence.artifact(best)) else None
