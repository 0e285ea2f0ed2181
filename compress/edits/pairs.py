"""A layer as a pair of lower rank: the singular value decomposition of its weight, cut off at a rank.

A linear layer becomes two. A convolution becomes k x k to `rank` channels and then 1 x 1 (`channel`, Zhang et al. 2016,
arXiv:1505.06798), or k x 1 and then 1 x k (`spatial`, Jaderberg et al. 2014, arXiv:1405.3866). Both halves carry the
square root of each singular value, so that training finds them on one scale.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from artifacts.errors import IntegrityError
from artifacts.types import Factor


def kind_of(layer: nn.Module, conv: str) -> str:
    """How a layer is split; a convolution of one row or column has no second axis, so it is split by channels."""
    if isinstance(layer, nn.Linear):
        return "linear"
    assert isinstance(layer, nn.Conv2d)
    return conv if min(layer.kernel_size) > 1 else "channel"


def matrix(layer: nn.Module, kind: str) -> Tensor:
    """The weight as the matrix (float64) whose rank is cut: (out, in · k · k), or (in · k, k · out) for `spatial`."""
    weight = layer.weight.detach().double()  # type: ignore[operator]
    if kind == "spatial":
        return weight.permute(1, 2, 3, 0).flatten(2).flatten(0, 1)
    return weight.flatten(1)


def split(module: nn.Module, edit: Factor) -> None:
    """Put a pair of the right shapes where a layer was, in place; what it computes comes with the stored tensors.

    Raises:
        IntegrityError: there is no such layer, or it cannot be split in this way.
    """
    try:
        layer = module.get_submodule(edit.layer)
    except AttributeError:
        layer = module
    fits = isinstance(layer, nn.Linear) if edit.kind == "linear" else isinstance(layer, nn.Conv2d)
    if layer is module or not fits:
        raise IntegrityError(f"the stored edits split {edit.layer!r} ({edit.kind}), which this model does not have as such.")
    module.set_submodule(edit.layer, empty_pair(layer, edit.rank, edit.kind))


def empty_pair(layer: nn.Module, rank: int, kind: str) -> nn.Sequential:
    """Two layers that take and give what `layer` does, through `rank` features, with the tensors of their constructors."""
    first: nn.Module
    second: nn.Module
    if isinstance(layer, nn.Linear):
        first = nn.Linear(layer.in_features, rank, bias=False)
        second = nn.Linear(rank, layer.out_features, bias=layer.bias is not None)
    else:
        assert isinstance(layer, nn.Conv2d)
        axes = ((0, 1), ()) if kind == "channel" else ((0,), (1,))
        (size, stride, pad, dilation), (size2, stride2, pad2, dilation2) = (_along(layer, keep) for keep in axes)
        mode = layer.padding_mode
        first = nn.Conv2d(layer.in_channels, rank, size, stride, pad, dilation, 1, False, mode)
        second = nn.Conv2d(rank, layer.out_channels, size2, stride2, pad2, dilation2, 1, layer.bias is not None, mode)
    pair = nn.Sequential(first, second).to(layer.weight.device, layer.weight.dtype)
    return pair.train(layer.training)


Pair = tuple[int, int]


def _along(layer: nn.Conv2d, keep: Sequence[int]) -> tuple[Pair, Pair, str | Pair, Pair]:
    """Kernel size, stride, padding and dilation of a convolution along some of its axes only."""

    def part(value: tuple[int, ...], idle: int) -> Pair:
        return value[0] if 0 in keep else idle, value[1] if 1 in keep else idle

    padding = layer.padding if isinstance(layer.padding, str) else part(layer.padding, 0)
    return part(layer.kernel_size, 1), part(layer.stride, 1), padding, part(layer.dilation, 1)


@torch.no_grad()
def pair_of(layer: nn.Module, rank: int, kind: str) -> tuple[nn.Sequential, Tensor]:
    """The pair nearest to a layer (Eckart and Young 1936), and the weight (as the layer's) cut to that rank."""
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    left, values, right = torch.linalg.svd(matrix(layer, kind), full_matrices=False)
    left, values, right = left[:, :rank], values[:rank], right[:rank]
    made = (left * values) @ right
    root = values.sqrt()
    left, right = left * root, root[:, None] * right
    pair = empty_pair(layer, rank, kind)
    first, second = (half for half in pair if isinstance(half, nn.Linear | nn.Conv2d))
    shape = tuple(layer.weight.shape)
    if kind == "spatial":
        outputs, inputs, high, wide = shape
        first.weight.copy_(left.T.reshape(rank, inputs, high, 1))
        second.weight.copy_(right.reshape(rank, wide, outputs).permute(2, 0, 1).unsqueeze(2))
        cut = made.reshape(inputs, high, wide, outputs).permute(3, 0, 1, 2)
    else:
        first.weight.copy_(right.reshape(rank, *shape[1:]))
        second.weight.copy_(left.reshape(second.weight.shape))
        cut = made.reshape(shape)
    if second.bias is not None and layer.bias is not None:
        second.bias.copy_(layer.bias)
    return pair, cut.contiguous()
