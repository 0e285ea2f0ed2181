"""`tightship demo`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

import tightship
from artifacts.errors import RequestError
from tightship.cli.common import AsJson, StoreFolder
from tightship.cli.run import execute

RECIPE = "digits.yaml"


def demo(
    out: Annotated[
        Path | None, typer.Option("--out", help="Where to write; by default runs/digits.", show_default=False)
    ] = None,
    store: StoreFolder = None,
    show: Annotated[bool, typer.Option("--print", help="Print the recipe, to start one's own from, and run nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the recipe that comes with tightship: handwritten digits from training to a packed file, without a download."""
    recipe = demo_recipe()
    if show:
        typer.echo(recipe.read_text("utf-8"), nl=False)
        return
    command = shlex.join(["tightship", "demo", *(["--out", str(out)] if out else [])])
    execute(recipe, out=out, store=store, as_json=as_json, command=command)


def demo_recipe() -> Path:
    """The demo's recipe: packed with the package in a wheel, among the recipes in a checkout.

    Raises:
        RequestError: the installation lacks it.
    """
    package = Path(tightship.__file__).parent
    places = [folder / "recipes" / RECIPE for folder in (package, package.parent)]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise RequestError(f"the demo's recipe is not at {places[0]}; install tightship again, or run a recipe of your own.")
    return found
