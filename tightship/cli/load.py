"""`tightship load`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

import tightship as ts
from artifacts.json import Row
from tightship.cli.bench import counts
from tightship.cli.common import AsJson, emit, shown, table

SCENARIO = "single-stream, multi-stream, server or offline by MLPerf LoadGen; or sustained, concurrency."
SECONDS = "LoadGen's minimum duration (10); sustained: altogether (120); concurrency: of a turn (1)."


def load(
    file: Annotated[Path, typer.Argument(help="An exported file, ours or external, as `bench` takes it.", show_default=False)],
    scenario: Annotated[str, typer.Option(help=SCENARIO, show_default=False)],
    target_qps: Annotated[float | None, typer.Option(help="Server: queries per second, at random moments.")] = None,
    latency_bound_ms: Annotated[float | None, typer.Option(help="Server: 99 of 100 queries must be answered within.")] = None,
    find_qps: Annotated[bool, typer.Option("--find-qps", help="Server: search for the highest valid rate.")] = False,
    samples_per_query: Annotated[int | None, typer.Option(help="Multi-stream; 8 by default.")] = None,
    accuracy: Annotated[bool, typer.Option("--accuracy", help="Every sample once by the same code; keep the outputs.")] = False,
    callers: Annotated[str | None, typer.Option(help="Concurrency: processes that call at once, as in 1,2,4.")] = None,
    seconds: Annotated[float | None, typer.Option(help=SECONDS, show_default=False)] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="The most samples in a call, where the file takes several.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the engine.")] = 1,
    inputs: Annotated[Path | None, typer.Option("--inputs", help="An NPZ with inputs by name; made up if not given.")] = None,
    target: Annotated[str | None, typer.Option(help="The target to run on; by default told from the file's name.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where logs are kept; by default under runs/load.")] = None,
    repeats: Annotated[int, typer.Option(min=0, help="LoadGen runs again so often where others disturbed it.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Put a file under load; exit code 1 if LoadGen calls the run INVALID."""
    with shown(as_json) as progress:
        found = ts.load_test(
            file, scenario, inputs=inputs, target=target, threads=threads, seconds=seconds, batch=batch, out=out,
            repeats=repeats, callers=counts("--callers", callers) if callers is not None else (), on_progress=progress,
            target_qps=target_qps, latency_bound_ms=latency_bound_ms, find_qps=find_qps,
            samples_per_query=samples_per_query, accuracy=accuracy,
        )  # fmt: skip
    emit(found) if as_json else _tell(found)
    if "loadgen" in found and (found["valid"] is False or ("search" in found and found["found_qps"] is None)):
        sys.exit(1)


def _tell(found: Row) -> None:
    if "loadgen" in found:
        _tell_loadgen(found)
    elif "levels" in found:
        _tell_levels(found)
    else:
        _tell_windows(found)
    typer.echo(f"inputs: {found['inputs']}.")
    typer.echo(f"logs: {found.get('logs', found['folder'])}")
    if found["noise"]["disturbed"]:
        typer.echo(f"DISTURBED: the machine was not quiet ({', '.join(found['noise']['reasons'])}).")


def _tell_loadgen(found: Row) -> None:
    log = found["loadgen"]
    shown = found["scenario"] != "offline" and log["valid"] is not None
    headings = ["file", "target", "scenario", "threads", "batch", "result", "figure", "p50 ms", "p90 ms", "p99 ms", "queries"]
    verdict = {True: "VALID", False: "INVALID", None: "accuracy"}[log["valid"]]
    latencies = [_percentile(log, name) if shown else "n/a" for name in ("p50", "p90", "p99")]
    table(
        headings,
        [
            [
                found["file"], found["target"], found["scenario"], str(found["threads"]), str(found["batch"]), verdict,
                figure(found), *latencies, str(found["answered"]["queries"]),
            ]
        ],
    )  # fmt: skip
    if log["unmet"]:
        typer.echo(f"INVALID by LoadGen: not satisfied: {', '.join(log['unmet'])}.")
    for line in (log["advice"], log["early_stopping"], *log["errors"]):
        if line:
            typer.echo(f"LoadGen: {line}")
    if "search" in found:
        trials = ", ".join(f"{t['target_qps']:.4g} {'valid' if t['valid'] else 'invalid'}" for t in found["search"])
        best = found["found_qps"]
        typer.echo(f"highest valid rate: {f'{best:.4g} queries/s' if best else 'none was valid'} (tried {trials}).")
    if log["valid"] is not None:
        least = log["settings"]["min_duration_ms"] / 1000
        typer.echo(f"Judged by a minimum duration of {least:g} s; MLPerf's submissions need 600 s.")
    typer.echo(f"Outputs logged and equal to those of plain runs: {found['checked']} samples.")


def _percentile(log: Row, name: str) -> str:
    """A percentile of LoadGen's, unless there are too few queries for it."""
    if name == "p99" and log["queries"] < 1000:
        return "n/a (<1000)"
    return f"{log['percentiles_ms'][name]:.4g}"


def figure(found: Row) -> str:
    """The figure that a scenario is judged by, in words: MLPerf's metric, early-stopping estimates where there are any."""
    log, scenario = found["loadgen"], found["scenario"]
    if log["valid"] is None:
        return f"{found['answered']['samples']} outputs"
    if scenario == "server":
        return f"{log['per_s']['completed_samples_per_sec']:,.1f} of {found['target_qps']:,.1f} per s"
    if scenario == "offline":
        return f"{log['per_s']['samples_per_second'] * found['examples_per_sample']:,.1f} examples per s"
    name = "p90" if scenario == "single-stream" else "p99"
    estimate = log["estimates_ms"].get(name)
    return f"{name} {estimate:.4g} ms (early stopping)" if estimate else f"no estimate of {name}"


def _tell_levels(found: Row) -> None:
    headings = ["callers", "calls per s", "times one caller", "95 % interval", "efficiency", "p50 ms", "p99 ms"]
    rows = []
    for level in found["levels"]:
        scaling, p99 = level["scaling"], level["p99_ms"]
        rows.append(
            [
                str(level["callers"]), f"{level['throughput_per_s']:,.1f}", f"{scaling['ratio']:.2f}",
                f"{scaling['low']:.2f} .. {scaling['high']:.2f}", f"{level['efficiency']:.0%}", f"{level['p50_ms']:.4g}",
                "n/a (<1000)" if p99 is None else f"{p99:.4g}",
            ]
        )  # fmt: skip
    typer.echo(f"{found['file']} on {found['target']}, threads {found['threads']}, batch {found['batch']}, a process each")
    table(headings, rows)
    typer.echo(f"More callers were shown to give more up to {found['scales_to']}.")


def _tell_windows(found: Row) -> None:
    rows = [
        [
            f"{w['start_s']:.1f}", str(w["calls"]), f"{w['p50_ms']:.4g}",
            "n/a (<1000)" if w["p99_ms"] is None else f"{w['p99_ms']:.4g}",
            "n/a" if w["rss_mb"] is None else f"{w['rss_mb']:.1f}", ", ".join(w["reasons"]) or "quiet",
        ]
        for w in found["windows"]
    ]  # fmt: skip
    typer.echo(f"{found['file']} on {found['target']}, threads {found['threads']}, batch {found['batch']}")
    table(["from s", "calls", "p50 ms", "p99 ms", "RSS MB", "machine"], rows)
    drift = found["drift"]
    compared = ""
    if drift["ratio"]:
        low, high = drift["ci95"]
        compared = f" (last quarter / first: {drift['ratio']:.3f}, 95 % interval {low:.3f} .. {high:.3f})"
    typer.echo(f"Latency: {drift['words']}{compared}.")
    clock = drift["clock_ratio"]
    words = {True: "slowed down: throttled", False: "did not slow down", None: "cannot be told"}
    typer.echo(f"Clock: {words[drift['throttled']]}{f' (a fixed loop took {clock:.3f} times as long)' if clock else ''}.")
    growth = drift["rss_growth_mb"]
    said = "n/a" if growth is None else f"{growth:+.1f} MB, {'grows' if drift['memory_grows'] else 'steady'}"
    typer.echo(f"Memory: {said}.")
