"""Call a network with inputs by name: none is passed by its place where it has a name, and each call has a batch of its own.

Needs PyTorch and nothing else.
"""

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from artifacts.errors import ModelError
from artifacts.types import Array

INPUT = "tightship_input"
"""Where a placeholder of a graph says which input it is, since PyTorch renames some."""
MADE_UP = re.compile(r"input(_\d+)?")
"""Names that inputs have only because their data give none."""


@dataclass(frozen=True)
class Parameters:
    """What a network's `forward` takes."""

    names: tuple[str, ...]
    """That can be given by place, in order."""
    required: tuple[str, ...]
    only_by_name: tuple[str, ...] = ()
    any_place: bool = False
    """Whether it takes any number of inputs, `*args`."""


def parameters_of(module: nn.Module) -> Parameters:
    """What `forward` takes; of a graph its placeholders, of a TorchScript program what its schema says."""
    if isinstance(module, GraphModule):
        names = tuple(str(n.meta.get(INPUT, n.target)) for n in module.graph.nodes if n.op == "placeholder")
        return Parameters(names, names)
    if isinstance(module, torch.jit.ScriptModule):
        arguments = module.forward.schema.arguments[1:]  # type: ignore[attr-defined]
        return Parameters(tuple(a.name for a in arguments), tuple(a.name for a in arguments if not a.has_default_value()))
    found = inspect.signature(module.forward).parameters.values()
    by_place = [p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    only = [p for p in found if p.kind is p.KEYWORD_ONLY]
    return Parameters(
        tuple(p.name for p in by_place),
        tuple(p.name for p in (*by_place, *only) if p.default is p.empty),
        tuple(p.name for p in only),
        any(p.kind is p.VAR_POSITIONAL for p in found),
    )


def call_order(module: nn.Module, names: Sequence[str]) -> tuple[str, ...]:
    """The names of inputs in the order in which a network takes them.

    Names that say nothing (`input`, `input_0`, ...), and the only one of a network that takes one, keep their places.

    Raises:
        ModelError: the network takes no input of this name, or needs one more.
    """
    taken = parameters_of(module)
    known = (*taken.names, *taken.only_by_name)
    unknown = [name for name in names if name not in known]
    if len(unknown) == len(names) and (taken.any_place or _placed(names, taken)):
        return tuple(names)
    takes = f"it takes {', '.join(known) or 'none'}"
    if unknown:
        raise ModelError(f"the network's forward takes no input {unknown[0]!r} ({takes}); call the data's inputs as it does.")
    if missing := [name for name in taken.required if name not in names]:
        raise ModelError(f"the network's forward needs an input {missing[0]!r}, which the data do not have ({takes}).")
    return tuple(sorted(names, key=known.index))


def _placed(names: Sequence[str], taken: Parameters) -> bool:
    """Whether names that `forward` does not know can only mean its first places."""
    enough = len(taken.required) <= len(names) <= len(taken.names)
    return enough and (len(names) == 1 or all(MADE_UP.fullmatch(name) for name in names))


def arguments(module: nn.Module, inputs: Mapping[str, Tensor] | Mapping[str, Array]) -> tuple[Tensor, ...]:
    """Inputs as tensors in the order in which the network takes them, copied: what it writes into them reaches nobody else.

    Raises:
        ModelError: see `call_order`.
    """
    return tuple(_own(inputs[name]) for name in call_order(module, tuple(inputs)))


def _own(value: Tensor | Array) -> Tensor:
    return value.clone() if isinstance(value, Tensor) else torch.from_numpy(value.copy(order="C"))


def call(module: nn.Module, inputs: Mapping[str, Tensor] | Mapping[str, Array]) -> Any:
    """What the network returns for a batch of its own; inputs by name, each (N, ...).

    Raises:
        ModelError: see `call_order`.
    """
    return call_with(module, call_order(module, tuple(inputs)), arguments(module, inputs))


def call_with(module: nn.Module, order: tuple[str, ...], given: Sequence[Tensor]) -> Any:
    """What the network returns for these very tensors, into which it may write; `order` are their names, by `call_order`."""
    return module(*given) if _come_first(module, order) else module(**dict(zip(order, given, strict=True)))


def _come_first(module: nn.Module, order: tuple[str, ...]) -> bool:
    """Whether inputs in this order can be given by place."""
    taken = parameters_of(module)
    return order == taken.names[: len(order)] or not {*order} <= {*taken.names, *taken.only_by_name}


def by_place(module: nn.Module, names: Sequence[str]) -> nn.Module:
    """The network, which takes exactly these inputs in the order of `call_order`.

    Where they are not the first that its `forward` takes, or some can be given by name only, the object gets a class of its
    own: names of layers and tensors stay as they are.

    Raises:
        ModelError: see `call_order`.
    """
    order = call_order(module, names)
    if _come_first(module, order):
        return module
    kind = type(module)

    def forward(self: nn.Module, *given: Tensor) -> Any:
        return kind.forward(self, **dict(zip(order, given, strict=True)))

    plain = inspect.Parameter.POSITIONAL_OR_KEYWORD
    shown = [inspect.Parameter("self", plain), *(inspect.Parameter(name, plain) for name in order)]
    forward.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    module.__class__ = type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})
    return module


def examples_lead(module: nn.Module, axes: Mapping[str, int]) -> nn.Module:
    """The network, which takes these inputs with their examples along the first axis, and moves them to the axis it wants.

    The object gets a class of its own, as in `by_place`; without axes it is left as it is.

    Raises:
        ModelError: its forward takes no input of such a name.
    """
    if not axes:
        return module
    taken = parameters_of(module)
    for name in axes:
        if name not in (*taken.names, *taken.only_by_name):
            raise ModelError(f"batch_axis names an input {name!r} that the network's forward does not take.")
    kind = type(module)
    signature = inspect.signature(kind.forward)

    def forward(self: nn.Module, *given: Any, **more: Any) -> Any:
        bound = signature.bind(self, *given, **more)
        for name, axis in axes.items():
            if isinstance(value := bound.arguments.get(name), Tensor):
                bound.arguments[name] = value.movedim(0, axis)
        return kind.forward(*bound.args, **bound.kwargs)

    forward.__signature__ = signature  # type: ignore[attr-defined]
    module.__class__ = type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})
    return module
