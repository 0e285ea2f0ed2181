"""`tightship inspect`."""

from typing import TYPE_CHECKING, Annotated

import typer

import tightship as ts
from tightship.cli.common import AsJson, RecipePath, StoreFolder, emit, shown, table

if TYPE_CHECKING:
    from tightship.api.layers import Layers
    from tightship.pipeline.inspect_sensitivity import Ranked


def inspect(
    recipe: RecipePath,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Tell which layers lose how much when they alone are in int8 on a target.")
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(
            help="With --sensitivity: a target of the recipe, by its name, its label or NAME@LABEL; "
            "by default the first that gets int8 and can run here.",
            show_default=False,
        ),
    ] = None,
    examples: Annotated[
        int | None,
        typer.Option(
            min=50,
            help="With --sensitivity: so many held-out training examples; by default as the recipe's `measure` says.",
            show_default=False,
        ),
    ] = None,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """List the layers of a recipe's model: shapes, parameters, MACs and bytes; or what they lose in int8."""
    if not sensitivity:
        if target or examples or store:
            raise ts.RequestError("--target, --examples and --store belong to --sensitivity; add it, or leave them out.")
        _layers(ts.inspect(recipe), as_json)
        return
    with shown(as_json) as progress:
        found = ts.sensitivity(recipe, target=target, samples=examples, store=store, on_progress=progress)
    _sensitivity(found, as_json)


def _layers(layers: "Layers", as_json: bool) -> None:
    if as_json:
        emit(layers.rows)
        return
    rows = [
        [
            r["name"],
            r["type"],
            "x".join(map(str, r["output"])),
            f"{r['parameters']:,}",
            "unknown" if r["macs"] is None else f"{r['macs']:,}",
            f"{r['bytes']:,}",
        ]
        for r in layers
    ]
    table(["layer", "type", "output", "parameters", "MACs", "bytes"], rows)
    total = [layers.total(column) for column in ("parameters", "macs", "bytes")]
    alive = layers.activations
    typer.echo(f"\ntotal: {total[0]:,} parameters, {total[1]:,} MACs, {total[2]:,} bytes (float)")
    if layers.uncounted:
        typer.echo(f"MACs of these operators are unknown and not in the sum: {', '.join(layers.uncounted)}")
    typer.echo(f"activations at once: at most {alive:,} numbers, {4 * alive:,} bytes (float, one example)")


def _sensitivity(ranked: "Ranked", as_json: bool) -> None:
    from tightship.reporting.sections import sensitivity as words

    found = ranked.found
    if as_json:
        emit({**words.as_json(ranked.artifact, found), "cached": ranked.cached})
        return
    typer.echo(f"{ranked.artifact}: layers from the most sensitive\n")
    table(words.heads(found), words.as_rows(found))
    for layer in found.layers:
        if layer.reason:
            typer.echo(f"{layer.layer} cannot be quantized alone: {layer.reason}")
    typer.echo(f"\n{words.measured(found)}\n{words.advice(found)}")
    if ranked.others:
        typer.echo(f"--target asks for another: {', '.join(ranked.others)}.")
