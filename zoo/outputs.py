"""What a network returns, by name. PyTorch alone: bundles ship this file as it is."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from artifacts.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor


def named_outputs(outputs: Any) -> "dict[str, Tensor]":
    """A network's outputs by name, in its own order, however they are nested.

    A tensor is `output`; those of a tuple or list are `output_0`, `output_1`, ...; dicts keep their keys and named tuples their
    fields. What is nested is named after what it lies in: `boxes_0`. `None` is left out.

    Raises:
        ModelError: an output is not a tensor, or two have one name.
    """
    named: dict[str, Tensor] = {}
    for name, value in _leaves("", outputs):
        if name in named:
            raise ModelError(f"two of the model's outputs are called {name!r}; give their keys names that differ.")
        named[name] = value
    if not named:
        raise ModelError("the model returns no tensor; return a tensor, a tuple or a dict of tensors.")
    return named


def _leaves(name: str, value: Any) -> "Iterator[tuple[str, Tensor]]":
    from torch import Tensor

    if isinstance(value, Tensor):
        yield name or "output", value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{name}_{key}" if name else str(key), inner)
    elif isinstance(value, tuple | list):
        fields = getattr(value, "_fields", range(len(value)))
        for field, inner in zip(fields, value, strict=True):
            plain = name or ("output" if isinstance(field, int) else "")
            yield from _leaves(f"{plain}_{field}" if plain else str(field), inner)
    elif value is not None:
        where = f"the model's output {name!r} is" if name else "the model returns"
        raise ModelError(f"{where} a {type(value).__name__}; return tensors, in a tuple or a dict if there are several.")
