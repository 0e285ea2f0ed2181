"""Which channels of a layer leave together: one by one, the same places of equal parts, or runs of neighbours.

A grouped convolution or a norm over groups needs the same number of channels in each group, a gate as many values as gates,
and what is laid out as heads or pixels comes in runs. What is proposed here is tried on copies (`compress.pruning.groups`).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch_pruning as tp
from numpy.typing import NDArray
from torch import nn

HEADS = ("num_heads", "n_heads", "num_attention_heads", "n_head", "nhead", "heads")
"""What networks call the number of their heads."""


@dataclass(frozen=True)
class Units:
    """How the channels of a layer fall into units, of which each stays or leaves whole."""

    parts: int = 1
    """Equal parts of the channels; a unit has the same places in each."""
    run: int = 1
    """Neighbours in one part that belong to one unit."""

    @property
    def size(self) -> int:
        """Channels of one unit."""
        return self.parts * self.run

    def fit(self, channels: int) -> bool:
        """Whether so many channels fall into two units or more."""
        return channels % self.size == 0 and channels >= 2 * self.size

    def numbers(self, channels: int) -> NDArray[np.int64]:
        """(channels,): the unit that each channel belongs to.

        >>> Units(parts=2).numbers(6).tolist(), Units(run=2).numbers(6).tolist()
        ([0, 1, 2, 0, 1, 2], [0, 0, 1, 1, 2, 2])
        """
        return (np.arange(channels) % (channels // self.parts)) // self.run

    def channels(self, units: NDArray[np.int64] | list[int], channels: int) -> tuple[int, ...]:
        """All channels, in order, of these units."""
        return tuple(int(i) for i in np.flatnonzero(np.isin(self.numbers(channels), units)))


SINGLE = Units()


def groups_of(layer: nn.Module) -> int:
    """In how many equal groups a layer takes its channels, which must stay equal; 1 where it does not matter."""
    if isinstance(layer, nn.GroupNorm):
        return layer.num_groups if layer.num_groups < layer.num_channels else 1
    if isinstance(layer, nn.modules.conv._ConvNd):
        return layer.groups if layer.groups < max(layer.in_channels, layer.out_channels) else 1
    if isinstance(layer, nn.RNNBase):
        return 2 if layer.bidirectional else 1
    return 1


def candidates(dependencies: tp.DependencyGraph, group: tp.dependency.Group, channels: int) -> Iterator[Units]:
    """How the channels of the layer that a group begins with may fall into units, the smallest units first.

    `group` holds all of them.
    """
    yield from (SINGLE,) if SINGLE.fit(channels) else ()
    if any(isinstance(d.target.module, nn.MultiheadAttention) for d, _ in group):
        return  # its width is that of its heads
    parts = math.lcm(*_parts(group, channels))
    tied = _tied(dependencies, group, channels)
    found = [Units(math.lcm(parts, tied.parts), tied.run)]
    # parts that indices pick are seen by nobody but the trial
    found += [Units(2 * parts), Units(3 * parts)] if tied == SINGLE else []
    for units in dict.fromkeys([*found, *_heads(dependencies, group, channels)]):
        if units != SINGLE and units.fit(channels):
            yield units


def _parts(group: tp.dependency.Group, channels: int) -> Iterator[int]:
    """For each grouped layer the parts that `channels` fall into, where the layer may see them several times or in part."""
    yield 1
    for dependency, entries in group:
        layer = dependency.target.module
        seen = len(entries)
        if groups_of(layer) > 1 and seen and groups_of(layer) * channels % seen == 0:
            yield groups_of(layer) * channels // seen


def _tied(dependencies: tp.DependencyGraph, group: tp.dependency.Group, channels: int) -> Units:
    """How the first channel is tied to others of the same layer: next to it, or at the same place of other parts."""
    root, remove = group[0].dep.target.module, group[0].dep.handler
    leave = {
        int(i) for d, entries in dependencies.get_pruning_group(root, remove, [0]) for i in entries if d.target.module is root
    }
    number = len(leave)
    if channels % number == 0 and leave == set(range(0, channels, channels // number)):
        return Units(parts=number)
    return Units(run=number) if leave == set(range(number)) else SINGLE


def _heads(dependencies: tp.DependencyGraph, group: tp.dependency.Group, channels: int) -> Iterator[Units]:
    """Whole heads, laid out after each other in one part (separate projections) or three (fused ones)."""
    for heads in sorted(_numbers_of_heads(dependencies, group)):
        for parts in (1, 3):
            if channels % (parts * heads) == 0:
                yield Units(parts, channels // (parts * heads))
        if channels % heads == 0:
            yield Units(heads)


def _numbers_of_heads(dependencies: tp.DependencyGraph, group: tp.dependency.Group) -> set[int]:
    """What the modules that hold the layers of a group call their number of heads."""
    names = {m: n for n, m in dependencies.model.named_modules()}
    holders = {names[d.target.module].rpartition(".")[0] for d, _ in group if d.target.module in names}
    modules = [dependencies.model.get_submodule(holder) for holder in holders]
    found = {getattr(module, name, None) for module in modules for name in HEADS}
    return {number for number in found if isinstance(number, int) and number > 1}
