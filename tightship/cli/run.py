"""`tightship run`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from tightship.cli.common import AsJson, RecipePath, StoreFolder, emit, store_folder

OnlyTargets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        help="Only this target of the recipe, by its name, its label or NAME@LABEL; may be given several times.",
        show_default=False,
    ),
]


def run(
    recipe: RecipePath,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Where to write; by default runs/NAME, with --target runs/NAME@TARGET.", show_default=False),
    ] = None,
    store: StoreFolder = None,
    target: OnlyTargets = None,
    as_json: AsJson = False,
) -> None:
    """Run a recipe: compress, export, measure, gate, report and pack."""
    only = [word for name in target or () for word in ("--target", name)]
    command = shlex.join(["tightship", "run", str(recipe), *only, *(["--out", str(out)] if out else [])])
    execute(recipe, command, out=out, store=store, target=target, as_json=as_json)


def execute(
    recipe: Path, command: str, *, out: Path | None, store: Path | None, target: list[str] | None = None, as_json: bool = False
) -> NoReturn:
    """Run a recipe, say what came of it, and exit: 0 passed, 1 a gate or parity failed; `command` is what repeats the run."""
    from tightship.pipeline.progress import Quiet, Shown
    from tightship.pipeline.run import run as run_recipe
    from tightship.planning.target_selection import select_targets
    from tightship.recipe.recipe import load_recipe
    from tightship.store import Store

    loaded = load_recipe(recipe)
    selection = select_targets(loaded, target or ())
    # a run of a part must not take the place of a whole one
    folder = out or Path("runs") / "@".join((loaded.name, *selection.names))
    progress = Quiet() if as_json else Shown()
    try:
        ran = run_recipe(loaded, folder, Store(store_folder(store)), command, progress, selection)
    finally:
        if isinstance(progress, Shown):
            progress.close()
    if as_json:
        emit({"out": str(folder), "passed": ran.evidence.verdict.passed, "best": ran.evidence.verdict.best,
              "bundle": str(ran.bundle) if ran.bundle else None, "asked_for": selection.names})  # fmt: skip
    else:
        from tightship.reporting.views.terminal import print_table

        print_table(ran.evidence)
        typer.echo(f"\nreport    {folder / 'report.html'}\nevidence  {folder / 'evidence.json'}")
        if ran.bundle:
            typer.echo(f"bundle    {ran.bundle}")
        elif best := ran.evidence.verdict.best:
            from tightship.bundling.pack import unpackable

            typer.echo(f"no bundle: {unpackable(ran.evidence.artifact(best))}; its files are in {folder / 'artifacts' / best}")
    sys.exit(0 if ran.evidence.verdict.passed else 1)
