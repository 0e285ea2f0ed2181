"""`tightship bench`."""

from pathlib import Path
from typing import Annotated

import typer

import tightship as ts
from artifacts.json import Row
from tightship.cli.bench_output import ends, tell_end_to_end, tell_energy, tell_roofline
from tightship.cli.common import AsJson, emit, table

FILES = "Exported files: .onnx, TorchScript .pt and .ptl, .pt2, .pte, .bpte, .tflite, .xml, .param, or a stored model.json."

HEADINGS = [
    "file", "target", "threads", "batch", "p50 ms", "95 % interval", "p90 ms", "p99 ms", "per s", "cold start ms",
    "RSS load MB", "RSS run MB", "warm after", "bytes",
]  # fmt: skip


def bench(
    files: Annotated[list[Path], typer.Argument(help=FILES)],
    inputs: Annotated[Path | None, typer.Option("--inputs", help="An NPZ with inputs by name; made up if not given.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Fresh processes per file.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.01, help="Seconds of timing per process.")] = 0.6,
    threads: Annotated[str, typer.Option(help="CPU threads; several, as in 1,2, make a sweep.")] = "1",
    batch: Annotated[str | None, typer.Option(help="Examples per call; several, as in 1,8,32, make a sweep.")] = None,
    target: Annotated[str | None, typer.Option(help="The target to run on; by default told from the file's name.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="How the target opens the files: name=value, such as spinning=false.")
    ] = None,
    roofline: Annotated[
        bool, typer.Option("--roofline", help="Also this machine's peaks, the share reached, and the ten costliest layers.")
    ] = False,
    end_to_end: Annotated[
        bool, typer.Option("--end-to-end", help="Also calls from a raw picture to its labels, of files in their run's folder.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure exported files, ours or external: latency, cold start, memory, bytes; interleaved."""
    rows = ts.bench(
        files, inputs=inputs, target=target, processes=processes, seconds=seconds, threads=counts("--threads", threads),
        batch=counts("--batch", batch) if batch is not None else (), options=pairs(option or []), roofline=roofline,
        end_to_end=end_to_end,
    ).rows  # fmt: skip
    if as_json:
        emit(rows)
        return
    table(HEADINGS, [_cells(row) for row in rows])
    typer.echo(
        f"{processes} processes per row; per s at batch {', '.join(map(str, sorted({r['throughput_batch'] for r in rows})))}."
    )
    if option:
        typer.echo(f"options: {', '.join(option)}.")
    for said in dict.fromkeys(r["inputs"] for r in rows):
        typer.echo(f"inputs: {said}.")
    tell_energy(rows)
    if end_to_end:
        tell_end_to_end(rows)
    if roofline:
        tell_roofline(rows)
    reasons = sorted({reason for r in rows for reason in (r["noise"] or {}).get("reasons", ())})
    if reasons:
        typer.echo(f"DISTURBED: the machine was not quiet ({', '.join(reasons)}).")


def pairs(given: list[str]) -> dict[str, str]:
    """Options by name.

    Raises:
        RequestError: one is not of the form name=value.
    """
    split = [text.partition("=") for text in given]
    for text, (name, equals, value) in zip(given, split, strict=True):
        if not (name and equals and value):
            raise ts.RequestError(f"--option takes name=value, such as graph_level=basic; not {text!r}.")
    return {name: value for name, _, value in split}


def counts(option: str, text: str) -> tuple[int, ...]:
    """Whole numbers from 1 on, apart by commas.

    Raises:
        RequestError: something else was given.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= 65536 for part in parts):
        raise ts.RequestError(f"{option} takes whole numbers from 1 to 65536, apart by commas, such as 1,8; not {text!r}.")
    return tuple(dict.fromkeys(map(int, parts)))


def _cells(r: Row) -> list[str]:
    warm = f"{r['warm_calls']} calls, {r['warm_ms']:.0f} ms" if r["settled"] else "not settled"
    return [
        r["file"], r["target"], str(r["threads"]), str(r["batch"]), f"{r['p50_ms']:.4g}",
        ends(r["ci95_ms"]), f"{r['p90_ms']:.4g}",
        "n/a (<1000 samples)" if r["p99_ms"] is None else f"{r['p99_ms']:.4g}", f"{r['throughput_per_s']:,.0f}",
        f"{r['cold_start_ms']:.0f}", f"{r['rss_load_mb']:.0f}", f"{r['rss_run_mb']:.0f}", warm, f"{r['bytes']:,}",
    ]  # fmt: skip
