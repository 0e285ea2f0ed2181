"""Cut channels through torch-pruning's dependency graph."""

import copy
from typing import Any

import torch
import torch_pruning as tp
from torch import nn

from artifacts.errors import IntegrityError
from artifacts.types import Arrays, Cut


def graph(module: nn.Module, example: Arrays) -> tp.DependencyGraph:
    """The dependency graph of a network (Fang et al. 2023, arXiv:2301.12900); the network is left in its mode."""
    tensors = tuple(torch.from_numpy(a) for a in example.values())
    with torch.enable_grad():
        return tp.DependencyGraph().build_dependency(module, example_inputs=tensors if len(tensors) > 1 else tensors[0])


def width(layer: Any) -> int:
    """How many output channels (or features) a layer has."""
    return int(getattr(layer, "out_channels", 0) or getattr(layer, "out_features", 0))


def make_cut(dependencies: tp.DependencyGraph, module: nn.Module, cut: Cut) -> None:
    """Remove channels at one layer and wherever they are coupled, in place."""
    try:
        layer = module.get_submodule(cut.layer)
    except AttributeError:
        raise IntegrityError(f"the stored cuts name a layer {cut.layer!r} that this model does not have.") from None
    function = dependencies.get_pruner_of_module(layer)
    remove = function.prune_out_channels if cut.outputs else function.prune_in_channels
    dependencies.get_pruning_group(layer, remove, list(cut.channels)).prune()


def silenced(module: nn.Module, group: Any) -> nn.Module:
    """A copy whose layers ignore the channels that `group` would remove: what cutting must not change."""
    names = {m: n for n, m in module.named_modules()}
    clone = copy.deepcopy(module)
    with torch.no_grad():
        for dependency, channels in group:
            layer = dependency.target.module
            if not dependency.handler.__name__.startswith("prune_in") or layer not in names:
                continue
            weight = getattr(clone.get_submodule(names[layer]), "weight", None)
            if weight is not None and weight.ndim > 1:
                weight[:, channels] = 0
    return clone
