"""`tightship compare`."""

from pathlib import Path
from typing import Annotated, Any

import typer

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
    from artifacts.errors import RequestError
    from tightship.benching.compare import compare_files, compare_runs

    how: dict[str, Any] = {"processes": processes, "limit": limit, "seconds": seconds, "threads": threads, "margin": margin}
    if a.is_dir() != b.is_dir():
        raise RequestError(f"compare two files or the folders of two runs, not one of each: {a} and {b}.")
    if not a.is_dir():
        result = compare_files(a, b, inputs, **how)
        emit(result) if as_json else _tell(result)
        return
    rows = compare_runs(a, b, artifact, again=again, **how)
    if as_json:
        emit(rows[0] if artifact else {"a": str(a), "b": str(b), "artifacts": rows})
        return
    for row in rows:
        typer.echo(f"{row['artifact']}:")
        _tell(row)
        _tell_accuracy(row["accuracy"])
    if rows[0]["versions"]:
        typer.echo(f"The runs used different libraries: {'; '.join(rows[0]['versions'])}.")


def _tell(row: dict[str, Any]) -> None:
    low, high = row["ci"]
    figures = f"A takes {row['ratio']:.3f} times as long as B (95 % interval {low:.3f} .. {high:.3f})"
    verdicts = {
        "faster": "B is faster",
        "slower": "B is slower",
        "no difference shown": f"No difference shown: the interval lies within {row['margin']:.1%}",
        "cannot tell": "Cannot tell: the interval is too wide",
    }
    typer.echo(f"{verdicts[row['verdict']]}: {figures}.")
    if row["verdict"] == "cannot tell" and row["processes_needed"]:
        typer.echo(f"About {row['processes_needed']} pairs of processes would decide: --limit {row['processes_needed']}.")
    how = (
        "interleaved pairs of processes" if row["interleaved"] else "processes each, in two runs; --again measures interleaved"
    )
    typer.echo(f"Median A {row['a_ms']:.4g} ms, B {row['b_ms']:.4g} ms, over {row['processes']} {how}.")
    if row["disturbed"]:
        reasons = ", ".join((row.get("noise") or {}).get("reasons", ()))
        typer.echo(f"DISTURBED: the machine was not quiet{f' ({reasons})' if reasons else ''}.")


def _tell_accuracy(accuracy: dict[str, Any]) -> None:
    figures = f"{accuracy['metric']} A {accuracy['a']:.4f}, B {accuracy['b']:.4f}"
    if accuracy["verdict"] is None:
        typer.echo(f"{figures}: not tested, {accuracy['reason']}.")
        return
    typer.echo(
        f"{figures}: B is {100 * accuracy['difference']:+.2f} points, {accuracy['verdict']} (McNemar, p = "
        f"{accuracy['p_value']:.3g}; only A right {accuracy['only_a']}, only B right {accuracy['only_b']})."
    )
