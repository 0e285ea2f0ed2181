"""What a recipe's `export` asks for: held against the data and the model before any work, and part of the keys of its files."""

from collections.abc import Mapping
from typing import Any

from artifacts.errors import RecipeError, nearest
from artifacts.files import sha256_file, sha256_json
from artifacts.specs import Signature
from export.registry import FORMATS
from tightship.recipe import Recipe
from zoo.data import load_data
from zoo.factories import resolve, source_files

HYBRID = "torchscript-trace"
"""The format that holds modules compiled within a traced program."""

LATENCY_BATCH = 1
"""Examples in a call whose latency is measured."""


def check_dims(recipe: Recipe) -> None:
    """Refuse ranges of dimensions that the data does not have, or that exclude what will be run.

    Raises:
        RecipeError: names the dimension, its range and the remedy.
    """
    ranges, throughput = recipe.export.ranges(), recipe.measure.throughput_batch
    if not ranges:
        return
    usual = _dimensions(recipe)
    for limits in ranges:
        name, span = limits.name, f"{limits.min} to {limits.max}"
        if name not in usual:
            raise RecipeError(f"export.dims names {name!r}, which no input of the data has; {nearest(name, usual)}.")
        if name != next(iter(usual)):
            if limits.clamp(usual[name]) != usual[name]:
                raise RecipeError(
                    f"export.dims: {name!r} is {usual[name]} in the data, outside {span}; widen the range, or change the data."
                )
        elif limits.min > LATENCY_BATCH:
            raise RecipeError(
                f"export.dims: {name!r} is {span}, but latency is measured at batch {LATENCY_BATCH}; set min to 1."
            )
        elif limits.max < throughput:
            raise RecipeError(
                f"export.dims: {name!r} is {span}, but throughput is measured at batch {throughput}; "
                f"raise max, or set measure.throughput_batch to at most {limits.max}."
            )


def _dimensions(recipe: Recipe) -> dict[str, int]:
    """The dynamic dimensions of the data's inputs, the one that counts examples first, and their sizes in one example."""
    if recipe.data.factory is None:
        return {"batch": 1}
    data = load_data(recipe.data.ref())
    example = data.example_inputs(1)
    found = {n: example[s.name].shape[at] for s in data.inputs for at, n in enumerate(s.shape) if isinstance(n, str)}
    return {name: found[name] for name in Signature(data.inputs).dynamic}


def check_operators(recipe: Recipe) -> None:
    """Refuse translations that cannot be used, before a network is trained for them; imports the user's code.

    Raises:
        ModelError: there is no such operator or function, or they do not fit each other.
    """
    operators = recipe.export.onnx.operators
    if not operators:
        return
    from export.operators import translations

    if recipe.model.factory:
        resolve(recipe.model.factory)  # it registers the operators
    translations(operators)


def check_scripted(recipe: Recipe) -> None:
    """Refuse names of modules that the network does not have, before it is trained; builds it.

    Raises:
        ModelError: there is no such module; the message names the nearest.
    """
    names = recipe.export.torchscript.script
    if not names:
        return
    from export.torchscript import find_modules
    from zoo.models import build, complete

    find_modules(build(complete(recipe.model.ref(), load_data(recipe.data.ref()))), names)


def said(recipe: Recipe, target: str, format_name: str) -> dict[str, Any]:
    """What of `export` a target's file in this format depends on; nothing where the recipe says nothing.

    Raises:
        RecipeError: the format cannot hold an operator of the user's own.
    """
    config: dict[str, Any] = {}
    if recipe.export.dims:
        config["dims"] = {name: dims.model_dump() for name, dims in recipe.export.dims.items()}
    if recipe.export.torchscript.script and format_name == HYBRID:
        config["script"] = list(recipe.export.torchscript.script)
    operators = recipe.export.onnx.operators
    if "onnxscript" in FORMATS[format_name].libraries:
        config |= recipe.export.onnx.model_dump(exclude={"operators"}, exclude_defaults=True)
        return config | ({"operators": digests(operators)} if operators else {})
    own = [name for name in operators if not name.startswith("aten::")]
    if own and format_name != "module":
        raise RecipeError(
            f"target {target!r} opens {format_name} files, in which {own[0]!r} cannot be translated as in ONNX; "
            "take the target out, or write that layer with PyTorch's own operators."
        )
    return config


def digests(operators: Mapping[str, str]) -> dict[str, list[str]]:
    """Each translated operator: by which function, and the digest of its source."""
    return {n: [spec, sha256_json([sha256_file(p) for p in source_files(spec)])] for n, spec in operators.items()}
