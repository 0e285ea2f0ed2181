"""`tightship gate`."""

import sys
from typing import Annotated

import typer

from tightship.cli.common import AsJson, RunFolder, emit


def gate(
    folder: RunFolder,
    limit: Annotated[
        list[str] | None, typer.Option("--limit", help="NAME=VALUE, instead of the recipe's limits; may repeat.")
    ] = None,
    artifact: Annotated[str | None, typer.Option(help="Judge this artifact; by default those that decided the run.")] = None,
    as_json: AsJson = False,
) -> None:
    """Hold a finished run against limits; exit code 1 if one is not met."""
    from tightship.regate import regate

    results = regate(folder, limit or [], artifact)
    if as_json:
        emit([{"artifact": a, "name": g.name, "limit": g.limit, "value": g.value, "passed": g.passed} for a, g in results])
    else:
        for name, record in results:
            typer.echo(f"{'pass' if record.passed else 'FAIL'}  {name}  {record.reason}")
    sys.exit(0 if all(g.passed for _, g in results) else 1)
