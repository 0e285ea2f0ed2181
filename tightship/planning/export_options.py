"""What a recipe's `export` asks for: held against the data and the model before any work, and part of the keys of its files."""

from collections.abc import Mapping

from artifacts.errors import RecipeError, nearest
from artifacts.files import sha256_file, sha256_json
from artifacts.specs import Dimension, Signature
from export.registry import FORMATS
from tightship.recipe.recipe import Recipe
from tightship.recipe.sections import ExportConfig
from zoo.data import load_data
from zoo.factories import resolve, source_files

LATENCY_BATCH = 1
"""Examples in a call whose latency is measured."""


def check_dims(recipe: Recipe) -> None:
    """Refuse ranges of dimensions that the data does not have, or that exclude what will be run.

    Raises:
        RecipeError: names the dimension, its range and the remedy.
    """
    dims, throughput = recipe.export.dims, recipe.measure.throughput_batch
    if not dims:
        return
    counting, usual = _dimensions(recipe)
    for name, limits in dims.items():
        span = f"{limits.min} to {limits.max}"
        if name not in usual:
            raise RecipeError(
                f"export.dims names {name!r}, which no input of the data has; {nearest(name, usual)}, "
                "or say under `axes` which axis of an input it is."
            )
        if name != counting:
            if not limits.min <= usual[name] <= limits.max:
                raise RecipeError(
                    f"export.dims: {name!r} is {usual[name]} in the data, outside {span}; widen the range, or change the data."
                )
            if limits.axes and limits.opt not in (None, usual[name]):
                raise RecipeError(
                    f"export.dims: {name!r} has opt {limits.opt}, but everything is measured at the data's {usual[name]}; "
                    "leave opt out."
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


def _dimensions(recipe: Recipe) -> tuple[str | None, dict[str, int]]:
    """The dimension that counts examples, if any does, and every dynamic one with its size in one example."""
    named = {name: dim.axes for name, dim in recipe.export.dims.items() if dim.axes}
    if recipe.data.factory is None and not named:
        return "batch", {"batch": 1}
    data = load_data(recipe.data.ref())
    example, own = data.example_inputs(1), Signature(data.inputs).dynamic
    sizes = {n: example[s.name].shape[at] for s in data.inputs for at, n in enumerate(s.shape) if isinstance(n, str)}
    found = {name: sizes[name] for name in own}
    for name, axes in named.items():
        if name in found:
            raise RecipeError(
                f"export.dims: the data itself has a dimension {name!r}; leave its `axes` out, or name it otherwise."
            )
        found[name] = _size(name, axes, {s.name: s.shape for s in data.inputs})
    return next(iter(own), None), found


def _size(name: str, axes: Mapping[str, int], shapes: Mapping[str, tuple[Dimension, ...]]) -> int:
    """The size that the data has along the axes of one name."""
    sizes = set()
    for given, axis in axes.items():
        if given not in shapes:
            raise RecipeError(f"export.dims.{name}: the data has no input {given!r}; {nearest(given, shapes)}.")
        shape = shapes[given]
        size = shape[axis] if axis < len(shape) else None
        if not isinstance(size, int):
            why = f"is {size!r} already" if size else f"does not exist; its shape is {list(shape)}, counted from 0"
            raise RecipeError(f"export.dims.{name}: axis {axis} of input {given!r} {why}.")
        sizes.add(size)
    if len(sizes) > 1:
        raise RecipeError(
            f"export.dims.{name}: its axes have the sizes {sorted(sizes)} in the data; give each a name of its own."
        )
    return sizes.pop()


def check_operators(recipe: Recipe) -> None:
    """Refuse translations that cannot be used, before a network is trained for them; imports the user's code.

    Raises:
        ModelError: there is no such operator or function, or they do not fit each other.
    """
    operators = recipe.export.onnx.operators
    if not operators:
        return
    from export.onnx.operators import translations

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
    from export.torchscript.export import find_modules
    from zoo.models import build, complete

    find_modules(build(complete(recipe.model.ref(), load_data(recipe.data.ref()))), names)


def followed_by(recipe: Recipe, target: str, format_name: str) -> ExportConfig:
    """What of `export` a target's file in this format follows; the rest at its default, so that it changes no key.

    Raises:
        RecipeError: the format cannot hold an operator of the user's own.
    """
    section, default, written = recipe.export, ExportConfig(), FORMATS.find(format_name)
    if written.through_onnx:
        return section.model_copy(update={"torchscript": default.torchscript})
    own = [name for name in section.onnx.operators if not name.startswith("aten::")]
    if own and not written.holds_any_operator:
        raise RecipeError(
            f"target {target!r} opens {format_name} files, in which {own[0]!r} cannot be translated as in ONNX; "
            "take the target out, or write that layer with PyTorch's own operators."
        )
    scripted = section.torchscript if written.holds_scripted else default.torchscript
    return section.model_copy(update={"onnx": default.onnx, "torchscript": scripted})


def digests(operators: Mapping[str, str]) -> dict[str, str]:
    """Each translated operator and the digest of the source of the function that translates it."""
    return {name: sha256_json([sha256_file(path) for path in source_files(spec)]) for name, spec in operators.items()}
