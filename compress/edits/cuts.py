"""Cut channels through torch-pruning's dependency graph."""

import copy
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch_pruning as tp
from torch import nn

from artifacts.errors import IntegrityError
from artifacts.types import Arrays, Cut
from compress.edits.channels import constant_maps, map_last_axis, refresh_splits
from compress.edits.recurrent import PRUNER, directions, mute_hidden, mute_inputs, whole
from zoo.calling import arguments


def graph(module: nn.Module, example: Arrays) -> tp.DependencyGraph:
    """The dependency graph of a network (Fang et al. 2023, arXiv:2301.12900); the network is left in its mode."""
    tensors = arguments(module, example)
    recurrent = {type(m): PRUNER for m in module.modules() if isinstance(m, nn.RNNBase)}
    with torch.enable_grad(), whole(module):
        made = tp.DependencyGraph().build_dependency(
            module,
            example_inputs=tensors if len(tensors) > 1 else tensors[0],
            unwrapped_parameters=constant_maps(module),
            customized_pruners=recurrent,
        )
    map_last_axis(made)
    return made


def width(layer: nn.Module) -> int:
    """How many output channels (or features) a layer has."""
    if isinstance(layer, nn.RNNBase):
        return layer.hidden_size * directions(layer)
    return int(getattr(layer, "out_channels", 0) or getattr(layer, "out_features", 0))


def channel_group(dependencies: tp.DependencyGraph, module: nn.Module, cut: Cut) -> tp.dependency.Group:
    """All that leaves the network with the channels of `cut`: (layer, channels) pairs in torch-pruning's own type.

    Raises:
        IntegrityError: the network has no layer of that name.
    """
    try:
        layer = module.get_submodule(cut.layer)
    except AttributeError:
        raise IntegrityError(f"the stored cuts name a layer {cut.layer!r} that this model does not have.") from None
    function = dependencies.get_pruner_of_module(layer)
    remove = function.prune_out_channels if cut.outputs else function.prune_in_channels
    return dependencies.get_pruning_group(layer, remove, list(cut.channels))


def make_cut(dependencies: tp.DependencyGraph, module: nn.Module, cut: Cut) -> None:
    """Remove channels at one layer and wherever they are coupled, in place."""
    channel_group(dependencies, module, cut).prune()
    refresh_splits(dependencies)


def cut_masks(
    module: nn.Module, masks: Mapping[str, torch.Tensor], cuts: Sequence[Cut], example: Arrays
) -> dict[str, torch.Tensor]:
    """The masks that a cut network has: those of `module`, from which the same channels have left.

    The masks take the place of the weights in a copy, and are cut as weights are.
    """
    if not masks:
        return {}
    clone = copy.deepcopy(module).eval()
    dependencies = graph(clone, example)
    with torch.no_grad():
        for name, mask in masks.items():
            clone.get_parameter(name).copy_(mask)
    for cut in cuts:
        make_cut(dependencies, clone, cut)
    return {name: clone.get_parameter(name).detach() != 0 for name in masks}


def silenced(module: nn.Module, group: tp.dependency.Group) -> nn.Module:
    """A copy whose layers ignore the channels that `group` would remove: what cutting must not change."""
    names = {m: n for n, m in module.named_modules()}
    clone = copy.deepcopy(module)
    silence(clone, group, names)
    return clone


@torch.no_grad()
def silence(module: nn.Module, group: tp.dependency.Group, names: Mapping[nn.Module, str] | None = None) -> None:
    """Make the layers of `module` ignore the channels that `group` would remove, in place.

    `names` holds the names of the layers that `group` was found on, where that is another copy of the network.
    """
    names = {m: n for n, m in module.named_modules()} if names is None else names
    for reader in readers(group):
        if reader.layer in names:
            ignore(reader._replace(layer=module.get_submodule(names[reader.layer])))


class Reader(NamedTuple):
    """A layer that reads channels."""

    layer: nn.Module
    channels: list[int]
    hidden: bool = False
    """Whether they are a recurrent layer's own hidden features."""


def readers(group: tp.dependency.Group) -> list[Reader]:
    """The layers that read the channels which `group` would remove."""
    found = []
    for dependency, channels in group:
        layer = dependency.target.module
        inputs = dependency.handler.__name__.startswith("prune_in")
        weight = getattr(layer, "weight", None)
        if isinstance(layer, nn.RNNBase):
            found.append(Reader(layer, list(channels), not inputs))
        elif inputs and weight is not None and weight.ndim > 1:
            found.append(Reader(layer, list(channels)))
    return found


@torch.no_grad()
def ignore(reader: Reader) -> None:
    """Zero the weights with which a layer reads channels, in place."""
    layer, channels, hidden = reader
    if isinstance(layer, nn.RNNBase):
        (mute_hidden if hidden else mute_inputs)(layer, channels)
        return
    weight, groups = layer.get_parameter("weight"), int(getattr(layer, "groups", 1))
    if getattr(layer, "transposed", False):  # (in, out / groups, ...)
        weight[channels] = 0
    elif groups > 1:  # (out, in / groups, ...): each group has rows of its own
        inside = weight.shape[1]
        for channel in channels:
            rows = weight.shape[0] // groups * (channel // inside)
            weight[rows : rows + weight.shape[0] // groups, channel % inside] = 0
    else:
        weight[:, channels] = 0
