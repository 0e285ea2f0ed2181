"""A training before the cut that gathers the network's strength in few channels, so that cutting the others costs little."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from artifacts.errors import ModelError
from artifacts.types import Arrays
from compress.edits.cuts import graph, width
from compress.training.loop import Inputs, Loss, Targets

Penalty = Callable[[nn.Module], Tensor]
"""A scalar, zero where the channels that can be cut weigh nothing."""


@dataclass(frozen=True)
class Member:
    """What one layer loses with the channels of a group."""

    parameter: str
    norm: bool
    """Whether it is a batch norm's scale."""
    dimension: int
    entries: Tensor
    """Indices along `dimension` of the parameter."""
    channels: Tensor
    """The channel of the group that each entry leaves with."""


def penalty(kind: str, module: nn.Module, layers: Collection[str], example: Arrays) -> Penalty:
    """The penalty of this name over the groups of coupled channels at `layers`.

    group-lasso: the L2 norm of all weights that leave with a channel, summed over channels (Yuan and Lin 2006; for
    networks Wen et al. 2016, arXiv:1608.03665). bn-scale: the sum of |gamma| of their batch norms (network slimming:
    Liu et al. 2017, arXiv:1708.06519).

    Raises:
        ModelError: there is nothing that it could make sparse.
    """
    groups = [(width(module.get_submodule(layer)), _members(module, layer, example)) for layer in layers]
    if kind == "bn-scale":
        groups = [(channels, [m for m in members if m.norm]) for channels, members in groups]
    groups = [(channels, members) for channels, members in groups if members]
    if not groups:
        what = "batch norm follows a layer whose channels" if kind == "bn-scale" else "layer has channels that"
        raise ModelError(f"regularize: {kind} has nothing to act on: no {what} can be cut.")
    return _slimming(groups) if kind == "bn-scale" else _group_lasso(groups)


def regularized(loss: Loss, weight: float, term: Penalty) -> Loss:
    """loss + weight · penalty."""

    def total(module: nn.Module, inputs: Inputs, targets: Targets) -> Tensor:
        return loss(module, inputs, targets) + weight * term(module)

    return total


def _members(module: nn.Module, layer: str, example: Arrays) -> list[Member]:
    names = {m: n for n, m in module.named_modules()}
    dependencies, root = graph(module, example), module.get_submodule(layer)
    remove = dependencies.get_pruner_of_module(root).prune_out_channels
    group, found = dependencies.get_pruning_group(root, remove, list(range(width(root)))), []
    for item in group:
        target, handler = item.dep.target.module, item.dep.handler.__name__
        weight = getattr(target, "weight", None) if target in names else None
        # a transposed layer holds its channels the other way round
        flipped = bool(getattr(target, "transposed", False))
        if weight is None or any(root is None for root in item.root_idxs):
            continue
        norm = isinstance(target, nn.modules.batchnorm._BatchNorm)
        dimension = 0 if weight.ndim == 1 else int(handler.startswith("prune_in") != flipped)
        if max(item.idxs) >= weight.shape[dimension]:  # a grouped layer sees only a part of its inputs
            continue
        entries, channels = torch.tensor(item.idxs), torch.tensor(item.root_idxs)
        found.append(Member(f"{names[target]}.weight".lstrip("."), norm, dimension, entries, channels))
    return found


def _group_lasso(groups: list[tuple[int, list[Member]]]) -> Penalty:
    def term(module: nn.Module) -> Tensor:
        total = None
        for channels, members in groups:
            squares = None
            for member in members:
                weight = module.get_parameter(member.parameter)
                entries = weight.index_select(member.dimension, member.entries.to(weight.device))
                own = entries.movedim(member.dimension, 0).flatten(1) if weight.ndim > 1 else entries[:, None]
                squares = weight.new_zeros(channels) if squares is None else squares
                squares = squares.index_add(0, member.channels.to(weight.device), own.square().sum(1))
            assert squares is not None
            norms = (squares + 1e-12).sqrt().sum()  # the root has no slope at zero
            total = norms if total is None else total + norms
        assert total is not None
        return total

    return term


def _slimming(groups: list[tuple[int, list[Member]]]) -> Penalty:
    names = sorted({m.parameter for _, members in groups for m in members})

    def term(module: nn.Module) -> Tensor:
        return torch.stack([module.get_parameter(name).abs().sum() for name in names]).sum()

    return term
