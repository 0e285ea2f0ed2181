"""A network that is given as an object, in the type that the techniques work on."""

import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from artifacts.errors import DataError, ModelError, RequestError, nearest
from artifacts.specs import TensorSpec
from artifacts.types import Array, Arrays, ModelRef, TorchModel
from zoo.signatures import signature_on

if TYPE_CHECKING:
    ArrayLike = torch.Tensor | Array
    ExampleInputs = ArrayLike | Sequence[ArrayLike] | Mapping[str, ArrayLike]
    """A tensor or an array, several in the order of forward's parameters, or a dict by their names."""


@dataclass(frozen=True)
class Given:
    """A network of the caller's, copied, and the examples that it came with."""

    model: TorchModel
    """Our own copy, in eval mode and on the CPU."""
    examples: Arrays
    """By input, in the order of forward's parameters."""

    def first(self, count: int) -> Arrays:
        """So many of the examples, which begin anew where there are too few; all as they are where the batch is fixed."""
        if not self.model.signature.dynamic:
            return self.examples
        return {name: rows(array, count) for name, array in self.examples.items()}


def rows(array: Array, count: int) -> Array:
    """So many rows of an array, which begin anew where there are too few."""
    return np.ascontiguousarray(array[np.arange(count) % len(array)])


def given_model(
    module: nn.Module,
    example_inputs: "ExampleInputs | None",
    *,
    dynamic_batch: bool = True,
    factory: str | None = None,
) -> Given:
    """A copy of the caller's network with its signature, read from one run on the examples.

    Args:
        module: left as it is, wherever it lies and in whatever mode it is.
        example_inputs: what it takes; the first axis of each holds the examples.
        dynamic_batch: whether the first axis may have any size.
        factory: `"module:callable"` that builds the same network, for formats that store how to build it.

    Raises:
        ModelError: it is no network, cannot be copied, or cannot run on the examples.
        DataError: the examples do not fit forward's parameters, or are no arrays of numbers.
    """
    if not isinstance(module, nn.Module):
        raise ModelError(f"a network must be a torch.nn.Module; got a {type(module).__name__}.")
    if example_inputs is None:
        raise RequestError("a network needs example_inputs, which say what it takes, such as torch.zeros(1, 3, 224, 224).")
    examples = named(module, example_inputs)
    specs = tuple(_spec(name, array, dynamic_batch) for name, array in examples.items())
    if dynamic_batch:
        one_count(examples)
    run_on = {n: rows(a, 2) for n, a in examples.items()} if dynamic_batch else examples
    own = copied(module)
    signature = signature_on(own, specs, run_on, "the example inputs", dynamic_batch)
    return Given(TorchModel(own, ModelRef(factory=factory), signature), examples)


def copied(module: nn.Module) -> nn.Module:
    """A copy on the CPU, in eval mode.

    Raises:
        ModelError: it cannot be copied.
    """
    try:
        return copy.deepcopy(module).cpu().eval()
    except Exception as error:
        raise ModelError(
            f"the network cannot be copied: {str(error).splitlines()[0]}; keep no tensors with a gradient history in it."
        ) from error


def named(module: nn.Module, inputs: "ExampleInputs") -> Arrays:
    """Inputs by the names of forward's parameters, in their order.

    Raises:
        DataError: a name is none of forward's, one that it needs is missing, or there are too many.
    """
    names, needed, any_number = parameters_of(module)
    if isinstance(inputs, Mapping):
        return _by_name(inputs, names, needed)
    values = list(inputs) if isinstance(inputs, tuple | list) else [inputs]
    if any_number and len(values) > len(names):
        names = [*names, *(f"input_{i}" for i in range(len(names), len(values)))]
    if not needed <= len(values) <= len(names) or not values:
        takes = ", ".join(names) or "nothing"
        raise DataError(f"forward takes {takes}, and {len(values)} example inputs are given; give one for each.")
    return {name: array_of(name, value) for name, value in zip(names, values, strict=False)}


def _by_name(inputs: "Mapping[str, ArrayLike]", names: list[str], needed: int) -> Arrays:
    for name in inputs:
        if name not in names:
            raise DataError(f"forward has no parameter {name!r} that could be given by position; {nearest(str(name), names)}.")
    missing = [name for name in names[:needed] if name not in inputs]
    if missing:
        raise DataError(f"forward needs {missing[0]!r}, which the example inputs lack; they have {', '.join(inputs)}.")
    last = max((names.index(name) for name in inputs), default=-1)
    gaps = [name for name in names[: last + 1] if name not in inputs]
    if gaps:
        raise DataError(
            f"forward takes {gaps[0]!r} before {names[last]!r}, and exported files take inputs in order: give {gaps[0]!r} too, "
            "or wrap the network in a module whose forward takes exactly these."
        )
    return {name: array_of(name, inputs[name]) for name in names[: last + 1]}


def parameters_of(module: nn.Module) -> tuple[list[str], int, bool]:
    """Forward's parameters that can be given by position, how many of them have no default, and whether more may follow."""
    found = inspect.signature(module.forward).parameters.values()
    positional = [p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    alone = [p.name for p in found if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if alone:
        raise ModelError(f"forward takes {alone[0]!r} by keyword only, and files take inputs in order; give it a default.")
    needed = sum(p.default is p.empty for p in positional)
    return [p.name for p in positional], needed, any(p.kind is p.VAR_POSITIONAL for p in found)


def array_of(name: str, value: object) -> Array:
    """A tensor or an array as a contiguous array of numbers.

    Raises:
        DataError: it is neither, or of a type that NumPy lacks.
    """
    if isinstance(value, torch.Tensor):
        try:
            value = value.detach().cpu().numpy()
        except (TypeError, RuntimeError) as error:
            raise DataError(
                f"input {name!r} cannot be read as an array ({error}); give it as a dense float32 tensor."
            ) from None
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        what = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
        raise DataError(f"input {name!r} is {what}; give a tensor or an array of real numbers.")
    return np.asarray(value, order="C")


def _spec(name: str, array: Array, dynamic_batch: bool) -> TensorSpec:
    if dynamic_batch and (not array.ndim or not len(array)):
        what = "is a scalar" if not array.ndim else "holds no example"
        raise DataError(
            f"input {name!r} {what}; its first axis must hold the examples, or say dynamic_batch=False to fix all sizes."
        )
    shape = (*map(int, array.shape),)
    return TensorSpec(name, str(array.dtype), ("batch", *shape[1:]) if dynamic_batch else shape)


def one_count(arrays: Arrays) -> None:
    """Refuse inputs that hold different numbers of examples.

    Raises:
        DataError: they do.
    """
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        (first, most), *rest = counts.items()
        other = next((name, count) for name, count in rest if count != most)
        raise DataError(
            f"input {first!r} holds {most} examples and {other[0]!r} {other[1]}; give as many of each, "
            "or say dynamic_batch=False to fix all sizes."
        )
