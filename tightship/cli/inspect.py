"""`tightship inspect`."""

import typer

from tightship.cli.common import AsJson, RecipePath, emit, table


def inspect(recipe: RecipePath, as_json: AsJson = False) -> None:
    """List the layers of a recipe's model: shapes, parameters, MACs and bytes."""
    from tightship.layers import layers_of
    from tightship.recipe import load_recipe

    layers = layers_of(load_recipe(recipe))
    if as_json:
        emit(layers)
        return
    rows = [
        [
            r["name"],
            r["type"],
            "x".join(map(str, r["output"])),
            f"{r['parameters']:,}",
            f"{r['macs']:,}",
            f"{r['bytes']:,}",
        ]
        for r in layers
    ]
    table(["layer", "type", "output", "parameters", "MACs", "bytes"], rows)
    total = [sum(r[key] for r in layers) for key in ("parameters", "macs", "bytes")]
    typer.echo(f"\ntotal: {total[0]:,} parameters, {total[1]:,} MACs, {total[2]:,} bytes (float)")
