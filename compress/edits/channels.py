"""What torch-pruning 1.6 does not see by itself of where channels run: constants that are maps, and splits of the last axis."""

from itertools import accumulate

import torch_pruning as tp
from torch import nn
from torch_pruning.dependency.shape_infer import infer_out_channels_recursively

HELD = (nn.modules.conv._ConvNd, nn.Linear, nn.Embedding, nn.RNNBase, nn.MultiheadAttention, nn.modules.batchnorm._NormBase)
"""Layers whose tensors torch-pruning cuts with them."""
FEATURES = (nn.Linear, nn.Embedding, nn.RNNBase, nn.MultiheadAttention, nn.LayerNorm)


def constant_maps(module: nn.Module) -> list[tuple[nn.Parameter, int]]:
    """Parameters of a network's own of shape (1, channels, ...) with the axis of their channels; by default it is the last."""
    own = [m for m in module.modules() if not isinstance(m, HELD)]
    found = [p for m in own for p in m.parameters(recurse=False)]
    return [(p, 1) for p in found if p.ndim >= 4 and p.shape[0] == 1 and p.shape[1] > 1]


class _LastAxis:
    """Takes the place of autograd's record of a split: torch-pruning goes by that record only where it is of axis 1."""


def map_last_axis(dependencies: tp.DependencyGraph) -> None:
    """Let channels be followed through splits of (..., features) into parts, in place."""
    for node in dependencies.module2node.values():
        record = node.grad_fn
        shape = tuple(getattr(record, "_saved_self_sym_sizes", ()))
        if node.type != tp.ops.OPTYPE.SPLIT or not node.inputs or not shape:
            continue
        if (record._saved_dim + 1) % 2**64 not in (0, len(shape)):  # a negative axis is kept as an unsigned number
            continue
        if len(shape) > 2 and not _features_last(node):  # torch-pruning takes axis -1 for that of the channels
            node.module.split_sizes = node.module.offsets = None
            for out in node.outputs:
                for dependency in (*node.dependencies, *out.dependencies):
                    if dependency.target in (node, out):
                        dependency.index_mapping = [None, None]
            continue
        if infer_out_channels_recursively(dependencies, node.inputs[0], [0]) != shape[-1]:
            continue
        sizes = getattr(record, "_saved_split_sizes", None) or [record._saved_split_size] * len(node.outputs)
        node.module.split_sizes = [int(size) for size in sizes]
        node.grad_fn = _LastAxis()
        node.enable_index_mapping = True  # it is off behind parameters of three axes, for the sake of class tokens
    refresh_splits(dependencies)


def _features_last(node: tp.dependency.Node) -> bool:
    """Whether the layer that made what a node takes holds features along the last axis, and not channels along axis 1."""
    while node.inputs:
        node = node.inputs[0]
        if isinstance(node.module, nn.modules.conv._ConvNd | nn.modules.batchnorm._NormBase | nn.GroupNorm):
            return False
        if isinstance(node.module, FEATURES):
            return True
    return False


def refresh_splits(dependencies: tp.DependencyGraph) -> None:
    """Say where the parts of splits begin, in place; torch-pruning keeps their sizes as channels leave, and not that."""
    for node in dependencies.module2node.values():
        if node.type == tp.ops.OPTYPE.SPLIT and node.module.split_sizes and None not in node.module.split_sizes:
            node.module.offsets = [0, *accumulate(node.module.split_sizes)]
