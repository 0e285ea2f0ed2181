"""Lay out a run's folder: the shipped files, their self-tests, and the reproducers of conversions that failed."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from artifacts.files import staged
from benchmarks.parity.reproducer import REPRODUCER
from runtimes.registry import find
from tightship.planning.plan import Plan
from tightship.store import Entry


def lay_out(plan: Plan, entries: Mapping[str, Entry], out: Path) -> None:
    """Copy the shipped files and their self-tests into the run's folder, whole or not at all."""
    for kind, source in (("artifacts", "export"), ("selftest", "check")):
        with staged(out / kind) as folder:
            shipped = (*plan.artifacts, *plan.converted) if kind == "artifacts" else plan.artifacts
            for artifact in shipped:
                entry = entries[f"{source} {artifact.id}"].folder
                place = folder / artifact.id
                if kind == "artifacts":
                    shutil.copytree(entry / "files", place)
                else:
                    place.mkdir(parents=True)
                    for name in ("inputs.npz", "outputs.npz", "correct.npz", *find(artifact.target).options_kind().test_files):
                        if (entry / name).is_file():
                            shutil.copyfile(entry / name, place / name)
    _lay_out_reproducers(plan, entries, out)


def _lay_out_reproducers(plan: Plan, entries: Mapping[str, Entry], out: Path) -> None:
    """Copy the reproducers of conversions that failed their parity; those of an earlier run go."""
    made = {a.id: entries[f"check {a.id}"].folder / REPRODUCER for a in plan.artifacts}
    if not any(folder.is_dir() for folder in made.values()):
        shutil.rmtree(out / "reproducers", ignore_errors=True)
        return
    with staged(out / "reproducers") as place:
        for name, folder in made.items():
            if folder.is_dir():
                shutil.copytree(folder, place / name)
