"""What a network returns, by name. PyTorch alone: bundles ship this file as it is."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from artifacts.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn


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


def called(module: "nn.Module", names: Sequence[str]) -> "nn.Module":
    """The network, whose outputs have these names, in its own order; without names as it is.

    The object gets a class of its own: names of layers and tensors stay as they are.

    Raises:
        ModelError: two names are the same; as it is called, that it has another number of outputs.
    """
    if not names:
        return module
    if len(set(names)) != len(names) or not all(names):
        raise ModelError(f"the model's outputs are called {', '.join(map(repr, names))}; give each a name of its own.")
    kind = type(module)

    def forward(self: "nn.Module", *given: Any, **more: Any) -> Any:
        made = named_outputs(kind.forward(self, *given, **more))
        if len(made) != len(names):
            raise ModelError(f"the model gives {len(made)} outputs ({', '.join(made)}), and {len(names)} are named.")
        return dict(zip(names, made.values(), strict=True))

    forward.__signature__ = inspect.signature(kind.forward)  # type: ignore[attr-defined]
    module.__class__ = type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})
    return module
