"""Depth pruning: which blocks of a network can become the identity, and what the network loses without them.

Removing whole residual blocks: Veit et al. 2016 (arXiv:1605.06431) show that residual networks bear it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from artifacts.types import Arrays
from compress.counting import LAYERS
from compress.edits.cuts import Reader, ignore
from zoo.calling import call

Call = tuple[tuple[object, ...], object]
"""What a module was given and what it returned."""

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def removable(module: nn.Module, example: Arrays) -> tuple[list[str], dict[str, str]]:
    """Blocks that can be removed, in the order in which they run, and those beside them that cannot, with the reason.

    A block is a module with weights that is run once, on one tensor, and returns one tensor of the same shape and type.
    Of blocks within blocks the inner ones are taken where there are several, else the outer one.
    """
    seen = calls(module, example)
    alike = [name for name, shapes in seen.items() if len(shapes) == 1 and _same(*shapes[0])]
    candidates = [n for n in alike if _has_layers(module.get_submodule(n)) and not _is_one_layer(module.get_submodule(n))]
    chosen = [n for n in candidates if not _is_shell(module, n, candidates)]
    chosen = [n for n in chosen if not any(n.startswith(f"{other}.") for other in chosen)]
    parents = {n.rpartition(".")[0] for n in chosen}
    refused = {}
    for name, shapes in seen.items():
        beside = name.rpartition(".")[0] in parents and name not in chosen
        if beside and _has_layers(module.get_submodule(name)) and not _is_one_layer(module.get_submodule(name)):
            refused[name] = _objection(shapes)
    return chosen, refused


def calls(module: nn.Module, example: Arrays) -> dict[str, list[Call]]:
    """The inputs and outputs of every submodule, in the order in which they were first run."""
    seen: dict[str, list[Call]] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def hook(_: nn.Module, inputs: tuple[object, ...], outputs: object) -> None:
            seen.setdefault(name, []).append((inputs, outputs))

        return hook

    names: dict[nn.Module, str] = {}
    for name, child in module.named_modules():
        names.setdefault(child, name)
    handles = [child.register_forward_hook(watch(name)) for child, name in names.items() if name]
    training = module.training
    try:
        with torch.no_grad():
            call(module.eval(), example)
    finally:
        module.train(training)
        for handle in handles:
            handle.remove()
    order = list(names.values())
    return {name: seen[name] for name in sorted(seen, key=order.index)}


def _same(inputs: tuple[object, ...], outputs: object) -> bool:
    tensors = [x for x in inputs if isinstance(x, Tensor)]
    if len(inputs) != 1 or len(tensors) != 1 or not isinstance(outputs, Tensor):
        return False
    return tensors[0].shape == outputs.shape and tensors[0].dtype == outputs.dtype


def _objection(shapes: list[Call]) -> str:
    if len(shapes) > 1:
        return f"it is run {len(shapes)} times"
    inputs, outputs = shapes[0]
    if len(inputs) != 1 or not isinstance(inputs[0], Tensor) or not isinstance(outputs, Tensor):
        return "it does not take one tensor and return one"
    return f"it turns {tuple(inputs[0].shape[1:])} into {tuple(outputs.shape[1:])}"


def _has_layers(module: nn.Module) -> bool:
    return any(isinstance(m, (*LAYERS, nn.MultiheadAttention)) for m in module.modules())


def _is_one_layer(module: nn.Module) -> bool:
    """Whether it is a layer, or layers with nothing between them, such as a pair of lower rank."""
    return not list(module.children()) or all(isinstance(m, (*LAYERS, nn.Sequential)) for m in module.modules())


def _is_shell(module: nn.Module, name: str, candidates: Sequence[str]) -> bool:
    """Whether a block only holds others: several that could go, or it is a container."""
    inside = [c for c in candidates if c.startswith(f"{name}.")]
    return len(inside) >= 2 or (bool(inside) and isinstance(module.get_submodule(name), CONTAINERS))


@contextmanager
def without(module: nn.Module, blocks: Sequence[str], silent: Mapping[str, Sequence[Reader]]) -> Iterator[None]:
    """The network with some blocks as the identity and some inputs of layers silenced, for as long as the context lasts.

    Args:
        module: changed in place and put back as it was.
        blocks: dotted names.
        silent: for each cut group, the layers that read the channels which would leave.
    """
    layers = [reader.layer for readers in silent.values() for reader in readers]
    kept = [(p, p.detach().clone()) for layer in layers for p in layer.parameters(recurse=False)]
    for name in blocks:
        module.get_submodule(name).forward = _identity
    for readers in silent.values():
        for reader in readers:
            ignore(reader)
    try:
        yield
    finally:
        for name in blocks:
            del module.get_submodule(name).forward
        with torch.no_grad():
            for parameter, value in kept:
                parameter.copy_(value)


def _identity(x: Tensor) -> Tensor:
    return x
