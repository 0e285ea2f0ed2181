"""What `tightship bench` prints below its table: energy, calls from raw examples to labels, and the roofline."""

from collections.abc import Sequence

import typer

from artifacts.json import Row
from tightship.cli.common import table

LAYER_HEADINGS = ["layer", "operator", "ms", "share", "MACs", "of the peak"]
ENERGY_HEADINGS = ["file", "target", "mJ per call", "95 % interval", "above idle mJ", "mean W"]
PART_HEADINGS = [
    "file", "target", "raw example", "pre ms", "inference ms", "post ms", "whole p50 ms", "95 % interval", "whole p90 ms",
]  # fmt: skip


def tell_energy(rows: list[Row]) -> None:
    """The energy of a call, or one sentence why it is not known."""
    power = rows[0]["power"]
    if not power["sources"]:
        typer.echo(f"energy: not available: {power['reason']}.")
        return
    known = [r for r in rows if r["energy"]]
    if known:
        table(ENERGY_HEADINGS, [_energy_cells(r) for r in known])
    idle = ", ".join(f"{s['name']} {s['idle_w']:.3g} W" for s in power["sources"])
    without = "" if len(known) == len(rows) else "; no counter moved, or none counts, for the other files"
    typer.echo(f"energy: idle before: {idle}{without}.")


def ends(bounds: Sequence[float | None]) -> str:
    """The two ends of an interval, or that one process gives none."""
    low, high = bounds
    return "no interval" if high is None else f"{low:.4g} .. {high:.4g}"


def _energy_cells(r: Row) -> list[str]:
    found = r["energy"]
    return [
        r["file"], r["target"], f"{found['mj']:.4g}", ends(found["ci95"]), f"{found['above_idle_mj']:.4g}",
        f"{found['watts']:.3g}",
    ]  # fmt: skip


def tell_end_to_end(rows: list[Row]) -> None:
    """Calls from a raw example to the labels, or one sentence why there are none."""
    known = [r for r in rows if r["end_to_end"]]
    if known:
        table(PART_HEADINGS, [_part_cells(r) for r in known])
    for reason in dict.fromkeys(r["no_end_to_end"] for r in rows if r["no_end_to_end"]):
        typer.echo(f"end to end: not timed: {reason}.")


def _part_cells(r: Row) -> list[str]:
    found = r["end_to_end"]
    parts = [f"{found[name]['p50']:.4g}" for name in ("pre", "inference", "post", "whole")]
    return [r["file"], r["target"], found["raw"], *parts, ends(found["whole"]["p50_ci95"]), f"{found['whole']['p90']:.4g}"]


def tell_roofline(rows: list[Row]) -> None:
    """This machine's peaks, what each file reaches, and its costliest layers."""
    from tightship.reporting.formatting import number, percent

    for peaks in {r["peaks"]["threads"]: r["peaks"] for r in rows}.values():
        typer.echo(f"This machine's peaks, threads {peaks['threads']}, measured in {number(peaks['seconds'])} s:")
        roofs = [(f"{p['precision']}, {p['target']}", f"{number(p['gmac_per_s'])} GMAC/s", p) for p in peaks["compute"]]
        roofs += [(f"bandwidth of {b['where']}", f"{number(b['gb_per_s'])} GB/s", b) for b in peaks["bandwidth"]]
        for name, value, roof in roofs:
            signs = ", ".join(roof["disturbed"])
            typer.echo(f"  {name}: {value}{f', DISTURBED and maybe too low ({signs})' if signs else ''}")
    for r in rows:
        found = r["roofline"]
        rate = "" if found["gmac_per_s"] is None else f"{number(found['gmac_per_s'])} GMAC/s; "
        typer.echo(f"{r['file']} on {r['target']}, threads {r['threads']}, batch {r['batch']}: {rate}{r['means']}.")
        if not found["layers"]:
            typer.echo(f"  no layers: {found['layers_how']}.")
            continue
        shown = percent(sum(layer["share"] for layer in found["layers"]), 0)
        typer.echo(f"  {len(found['layers'])} of {found['layer_count']} layers, {shown} of their time; {found['layers_how']}.")
        table(LAYER_HEADINGS, [_layer_cells(layer) for layer in found["layers"]])


def _layer_cells(layer: Row) -> list[str]:
    from tightship.reporting.formatting import number, percent

    macs = "n/a" if layer["macs"] is None else f"{layer['macs']:,}"
    name = layer["layer"] or layer["name"]
    return [name, layer["operator"], number(layer["ms"]), percent(layer["share"], 1), macs, percent(layer["peak_share"], 1)]
