"""Shortcuts without parameters (every s-th pixel, channels padded with zeros) as the convolution that they are.

Runtimes have no integer kernel for strided slices: XNNPACK's delegate leaves them to the portable kernels, in float, with
a way out of the delegate and back. A 1 x 1 convolution with stride s and a weight of zeros and ones computes the same, in
int8 too, and stays inside. The weight is a buffer: nothing trains it.
"""

from typing import TypeGuard

import torch
from torch.fx import GraphModule, Node


def as_convolutions(module: GraphModule) -> int:
    """Replace each channel padding of strided slices (N, C, H, W) in place; how many were replaced."""
    count = 0
    for node in list(module.graph.nodes):
        before, after = _padding(node)
        if not before and not after:
            continue
        source, stride = _strided(node.args[0])
        if stride is None or not isinstance(source, Node) or source.meta["val"].ndim != 4:
            continue
        _replace(module, node, source, stride, before, after)
        count += 1
    if count:
        module.graph.eliminate_dead_code()
        module.recompile()
    return count


def _called(node: object, *names: str) -> TypeGuard[Node]:
    return isinstance(node, Node) and node.op == "call_function" and str(node.target).split(".")[1:2] in [[n] for n in names]


def _padding(node: Node) -> tuple[int, int]:
    """How many zero channels a node puts before and after; (0, 0) if it does anything else."""
    if not _called(node, "pad", "constant_pad_nd"):
        return 0, 0
    given = node.args
    sizes = [size for size in given[1] if isinstance(size, int)] if isinstance(given[1], list | tuple) else []
    mode = "constant" if _called(node, "constant_pad_nd") or len(given) < 3 else given[2]
    value = given[-1] if _called(node, "constant_pad_nd") and len(given) > 2 else (given[3] if len(given) > 3 else 0)
    if mode != "constant" or value not in (None, 0, 0.0) or len(sizes) != 6 or any(sizes[:4]) or min(sizes[4:]) < 0:
        return 0, 0
    return sizes[4], sizes[5]


def _strided(node: object) -> tuple[object, tuple[int, int] | None]:
    """Where a chain of whole-axis slices starts, and its steps over height and width; None if it is no such chain."""
    steps: dict[object, int] = {2: 1, 3: 1}
    while _called(node, "slice"):
        given = node.args
        axis = given[1] if len(given) > 1 else 0
        start = given[2] if len(given) > 2 else None
        end = given[3] if len(given) > 3 else None
        step = given[4] if len(given) > 4 else 1
        whole = start in (None, 0) and (end is None or (isinstance(end, int) and end >= 2**31))
        if not whole or len(node.users) > 1 or not isinstance(step, int) or (step != 1 and axis not in steps):
            return node, None
        if axis in steps:
            steps[axis] *= step
        node = given[0]
    return node, (steps[2], steps[3])


def _replace(module: GraphModule, pad: Node, source: Node, stride: tuple[int, int], before: int, after: int) -> None:
    value = source.meta["val"]
    channels = int(value.shape[1])
    weight = torch.zeros(before + channels + after, channels, 1, 1, dtype=value.dtype)
    weight[torch.arange(before, before + channels), torch.arange(channels)] = 1
    name = f"shortcut_{pad.name}"
    module.register_buffer(name, weight)
    with module.graph.inserting_before(pad):
        attribute = module.graph.get_attr(name)
        attribute.meta["val"] = value.new_empty(weight.shape)
        made = module.graph.call_function(torch.ops.aten.conv2d.default, (source, attribute, None, list(stride)))
    made.meta["val"] = pad.meta["val"]
    pad.replace_all_uses_with(made)
    module.graph.erase_node(pad)
