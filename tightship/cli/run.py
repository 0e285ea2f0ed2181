"""`tightship run`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

import tightship as ts
from tightship.cli.common import AsJson, RecipePath, StoreFolder, emit, shown

OnlyTargets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        help="Only this target of the recipe, by its name, its label or NAME@LABEL; may be given several times.",
        show_default=False,
    ),
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="End the run at the first target or file that fails.")]


def run(
    recipe: RecipePath,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Where to write; by default runs/NAME, with --target runs/NAME@TARGET.", show_default=False),
    ] = None,
    store: StoreFolder = None,
    target: OnlyTargets = None,
    fail_fast: FailFast = False,
    as_json: AsJson = False,
) -> None:
    """Run a recipe: compress, export, measure, gate, report and pack.

    What cannot be made, checked or measured costs its own row: the rest is measured, and the exit code is 1, or 3 where
    targets were only missing.
    """
    execute(recipe, out=out, store=store, targets=target or (), fail_fast=fail_fast, as_json=as_json)


def execute(
    recipe: Path,
    *,
    out: Path | None,
    store: Path | None,
    targets: Sequence[str] = (),
    fail_fast: bool = False,
    as_json: bool,
    command: str | None = None,
) -> NoReturn:
    """Run a recipe, say what came of it, and exit: 0 passed, 1 something failed, 3 targets were only missing.

    `command` is what repeats the run.
    """
    with shown(as_json) as progress:
        ran = ts.run(recipe, out=out, store=store, targets=targets, fail_fast=fail_fast, on_progress=progress, command=command)
    verdict, folder = ran.evidence.verdict, ran.folder
    if as_json:
        emit({"out": str(folder), "passed": ran.passed, "best": verdict.best,
              "bundle": str(ran.packed) if ran.packed else None,
              "failed": [failed.id for failed in ran.evidence.failed], "asked_for": ran.evidence.asked_for})  # fmt: skip
    else:
        from tightship.reporting.views.terminal import print_table

        print_table(ran.evidence)
        typer.echo(f"\nreport    {folder / 'report.html'}\nevidence  {folder / 'evidence.json'}")
        if ran.packed:
            typer.echo(f"bundle    {ran.packed}")
        elif verdict.best:
            why = ran.unpackable(verdict.best)
            typer.echo(f"no bundle: {why}; its files are in {folder / 'artifacts' / verdict.best}")
    sys.exit(verdict.exit_code)
