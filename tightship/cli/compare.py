"""`tightship compare`."""

from pathlib import Path
from typing import Annotated

import typer

import tightship as ts
from tightship.cli.common import AsJson, emit


def compare(
    a: Annotated[Path, typer.Argument(help="The baseline: a file, or the folder of a run.", show_default=False)],
    b: Annotated[Path, typer.Argument(help="The candidate: a file, or the folder of a run.", show_default=False)],
    inputs: Annotated[Path | None, typer.Option("--inputs", help="An NPZ with inputs by name; made up if not given.")] = None,
    artifact: Annotated[str | None, typer.Option(help="Of two runs: this artifact only, such as onnxruntime-cpu/int8.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Of two runs: measure the files again, interleaved.")] = False,
    processes: Annotated[int, typer.Option(min=2, help="Pairs of fresh processes before the first look.")] = 6,
    limit: Annotated[int, typer.Option(min=2, help="The most pairs of processes; the same as --processes: one look.")] = 24,
    seconds: Annotated[float, typer.Option(min=0.01, help="Seconds of timing per process.")] = 0.8,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    margin: Annotated[float, typer.Option(min=0.0, max=1.0, help="Latencies this near, as a share, are equal.")] = 0.02,
    as_json: AsJson = False,
) -> None:
    """Whether B is faster than A: a ratio with its interval, and faster, slower, no difference shown, or cannot tell."""
    found = ts.compare(
        a, b, inputs=inputs, artifact=artifact, again=again, processes=processes, limit=limit, seconds=seconds,
        threads=threads, margin=margin,
    )  # fmt: skip
    if not as_json:
        typer.echo(str(found))
    elif artifact or not a.is_dir():
        emit(found[0].row)
    else:
        emit({"a": str(a), "b": str(b), "artifacts": [one.row for one in found]})
