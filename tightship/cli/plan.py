"""`tightship plan`."""

import sys
from dataclasses import asdict

import typer

import tightship as ts
from tightship.cli.common import AsJson, RecipePath, StoreFolder, emit
from tightship.cli.run import OnlyTargets


def plan(recipe: RecipePath, store: StoreFolder = None, target: OnlyTargets = None, as_json: AsJson = False) -> None:
    """Show what would run, and what is cached; runs nothing.

    The exit code is that of a run in which nothing fails: 0, or 3 where a target is missing that is not optional.
    """
    planned = ts.plan(recipe, targets=target or (), store=store)
    if as_json:
        skipped = sorted({*planned.absent, *planned.elsewhere})
        steps = [asdict(step) for step in planned.steps]
        emit({"name": planned.name, "steps": steps, "not_run": skipped, "not_asked": list(planned.left_out),
              "missing": dict(planned.missing)})  # fmt: skip
    else:
        typer.echo(str(planned))
    sys.exit(planned.exit_code)
