"""What the verbs share: options, output, and the bars of progress."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tightship.pipeline.progress import Progress

RecipePath = Annotated[Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)]
RunFolder = Annotated[Path, typer.Argument(help="The folder that `tightship run` wrote.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
StoreFolder = Annotated[
    Path | None,
    typer.Option("--store", help="The store; by default $TIGHTSHIP_STORE, else .tightship here.", show_default=False),
]


def emit(value: Any) -> None:
    """Print JSON to standard output."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))


def table(headings: list[str], rows: list[list[str]]) -> None:
    """Print a plain table with aligned columns."""
    widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]
    for row in [headings, *rows]:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@contextmanager
def shown(as_json: bool) -> "Iterator[Progress | None]":
    """Progress as a person sees it; none where a program reads."""
    if as_json:
        yield None
        return
    from tightship.pipeline.progress import Shown

    progress = Shown()
    try:
        yield progress
    finally:
        progress.close()
