"""`tightship compare`."""

from pathlib import Path
from typing import Annotated

import typer

from tightship.cli.common import AsJson, emit


def compare(
    a: Annotated[Path, typer.Argument(help="The baseline file.", show_default=False)],
    b: Annotated[Path, typer.Argument(help="The candidate file.", show_default=False)],
    inputs: Annotated[Path | None, typer.Option("--inputs", help="An NPZ with inputs by name; made up if not given.")] = None,
    processes: Annotated[int, typer.Option(min=2, help="Pairs of fresh processes.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.01, help="Seconds of timing per process.")] = 0.6,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Whether B is faster than A: one interleaved run in separate processes, with the interval of the ratio."""
    from tightship.foreign import compare_files

    result = compare_files(a, b, inputs, processes=processes, seconds=seconds, threads=threads)
    if as_json:
        emit(result)
        return
    low, high = result["ci"]
    typer.echo(
        f"B is {result['verdict']}: A takes {result['ratio']:.3f} times as long as B (95 % interval {low:.3f} .. {high:.3f})."
    )
    typer.echo(f"median A {result['a_ms']:.4g} ms, B {result['b_ms']:.4g} ms, over {processes} pairs of processes.")
