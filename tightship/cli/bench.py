"""`tightship bench`."""

from pathlib import Path
from typing import Annotated

import typer

from tightship.cli.common import AsJson, emit, table


def bench(
    files: Annotated[list[Path], typer.Argument(help="Exported files: .onnx, TorchScript .pt, .pte, or a stored model.json.")],
    inputs: Annotated[Path | None, typer.Option("--inputs", help="An NPZ with inputs by name; made up if not given.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Fresh processes per file.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.01, help="Seconds of timing per process.")] = 0.6,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    target: Annotated[str | None, typer.Option(help="The target to run on; by default told from the file's name.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure exported files, ours or foreign: latency, cold start, memory, bytes; interleaved."""
    from tightship.foreign import bench_files

    rows = bench_files(files, inputs, target, processes=processes, seconds=seconds, threads=threads)
    if as_json:
        emit(rows)
        return
    headings = [
        "file",
        "target",
        "p50 ms",
        "95 % interval",
        "p90 ms",
        "p99 ms",
        "per s",
        "cold start ms",
        "peak RSS MB",
        "bytes",
    ]
    table(
        headings,
        [
            [
                r["file"], r["target"], f"{r['p50_ms']:.4g}", f"{r['ci95_ms'][0]:.4g} .. {r['ci95_ms'][1]:.4g}",
                f"{r['p90_ms']:.4g}", "n/a (<1000 samples)" if r["p99_ms"] is None else f"{r['p99_ms']:.4g}",
                f"{r['throughput_per_s']:,.0f}", f"{r['cold_start_ms']:.0f}", f"{r['peak_rss_mb']:.0f}", f"{r['bytes']:,}",
            ]
            for r in rows
        ],
    )  # fmt: skip
    typer.echo(f"{processes} processes per file, {threads} thread(s), batch {rows[0]['batch']}.")
