"""Lay out a run's folder: the shipped files, their self-tests, and the reproducers of conversions that failed."""

import shutil
from pathlib import Path

from artifacts.files import staged, write_atomic
from benchmarks.parity.reproducer import REPRODUCER
from runtimes.registry import find
from tightship.pipeline.entries import Entries
from tightship.pipeline.stages.compression import ENCODING
from tightship.planning.plan import Plan
from tightship.planning.steps import DATA


def lay_out(plan: Plan, entries: Entries, out: Path) -> None:
    """Copy the shipped files and their self-tests into the run's folder, whole or not at all."""
    with staged(out / "artifacts") as folder:
        for artifact in (*plan.artifacts, *plan.converted):
            shutil.copytree(entries[artifact.export_step].folder / "files", folder / str(artifact.id))
    with staged(out / "selftest") as folder:
        for artifact in plan.artifacts:
            entry, place = entries[artifact.check_step].folder, folder / str(artifact.id)
            place.mkdir(parents=True)
            more = find(artifact.target).options_kind().test_files
            for name in ("inputs.npz", "outputs.npz", "correct.npz", *more):
                if (entry / name).is_file():
                    shutil.copyfile(entry / name, place / name)
    _lay_out_reproducers(plan, entries, out)
    encoding = entries[DATA].folder / ENCODING
    if encoding.is_file():
        write_atomic(out / ENCODING, encoding.read_bytes())
    else:
        (out / ENCODING).unlink(missing_ok=True)


def _lay_out_reproducers(plan: Plan, entries: Entries, out: Path) -> None:
    """Copy the reproducers of conversions that failed their parity; those of an earlier run go."""
    made = {str(a.id): entries[a.check_step].folder / REPRODUCER for a in plan.artifacts}
    if not any(folder.is_dir() for folder in made.values()):
        shutil.rmtree(out / "reproducers", ignore_errors=True)
        return
    with staged(out / "reproducers") as place:
        for name, folder in made.items():
            if folder.is_dir():
                shutil.copytree(folder, place / name)
