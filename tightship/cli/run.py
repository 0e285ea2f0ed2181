"""`tightship run`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from tightship.cli.common import AsJson, RecipePath, StoreFolder, emit, store_folder


def run(
    recipe: RecipePath,
    out: Annotated[Path | None, typer.Option("--out", help="Where to write; by default runs/NAME.", show_default=False)] = None,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Run a recipe: compress, export, measure, gate, report and pack."""
    from tightship.progress import Quiet, Shown
    from tightship.recipe import load_recipe
    from tightship.run import run as run_recipe
    from tightship.store import Store

    loaded = load_recipe(recipe)
    folder = out or Path("runs") / loaded.name
    command = shlex.join(["tightship", "run", str(recipe), *(["--out", str(out)] if out else [])])
    progress = Quiet() if as_json else Shown()
    try:
        ran = run_recipe(loaded, folder, Store(store_folder(store)), command, progress)
    finally:
        if isinstance(progress, Shown):
            progress.close()
    if as_json:
        emit({"out": str(folder), "passed": ran.evidence.verdict.passed, "best": ran.evidence.verdict.best,
              "bundle": str(ran.bundle) if ran.bundle else None})  # fmt: skip
    else:
        from tightship.report.terminal import print_table

        print_table(ran.evidence)
        typer.echo(f"\nreport    {folder / 'report.html'}\nevidence  {folder / 'evidence.json'}")
        if ran.bundle:
            typer.echo(f"bundle    {ran.bundle}")
        elif best := ran.evidence.verdict.best:
            from tightship.bundle import unpackable

            typer.echo(f"no bundle: {unpackable(ran.evidence.artifact(best))}; its files are in {folder / 'artifacts' / best}")
    sys.exit(0 if ran.evidence.verdict.passed else 1)
