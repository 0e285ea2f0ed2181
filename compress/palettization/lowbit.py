"""Weights of two or three values with a scale per output channel, and the straight-through gradient that trains them."""

from typing import cast

import torch
from torch import Tensor, nn

THRESHOLD = 0.7
"""Ternary: weights below this share of the channel's mean magnitude become zero (Li et al. 2016, equation 6)."""


class _Through(torch.autograd.Function):
    """Not `w + (q - w)`, which in floats is not always `q`: a palette holds exactly its values."""

    @staticmethod
    def forward(ctx: object, weight: Tensor, rounded: Tensor) -> Tensor:
        return rounded.clone()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def straight_through(weight: Tensor, rounded: Tensor) -> Tensor:
    """`rounded`, with the gradient of `weight` (Bengio et al. 2013, arXiv:1308.3432)."""
    return cast(Tensor, _Through.apply(weight, rounded.detach()))  # type: ignore[no-untyped-call]


def ternary(weight: Tensor) -> Tensor:
    """(out, ...) with -a, 0 and a in each output channel (Li et al. 2016, arXiv:1605.04711).

    >>> ternary(torch.tensor([[1.0, -3.0, 0.1, 2.0]]))
    tensor([[ 0., -2.5,  0.,  2.5]])
    """
    size = weight.abs().flatten(1)
    large = size > THRESHOLD * size.mean(1, keepdim=True)
    scale = (size * large).sum(1) / large.sum(1).clamp_min(1)
    signs = weight.sign() * large.view_as(weight)
    return signs * _per_channel(scale, weight)


def binary(weight: Tensor) -> Tensor:
    """(out, ...) with -a and a in each output channel, a the channel's mean magnitude (Rastegari et al. 2016).

    >>> binary(torch.tensor([[1.0, -3.0]]))
    tensor([[ 2., -2.]])
    """
    ones = torch.ones_like(weight)
    return torch.where(weight < 0, -ones, ones) * _per_channel(weight.abs().flatten(1).mean(1), weight)


def _per_channel(scale: Tensor, weight: Tensor) -> Tensor:
    return scale.view(-1, *[1] * (weight.ndim - 1))


class LowBit(nn.Module):
    """A weight's parametrization: the float weight that is trained -> the one of few values that is used."""

    keep: Tensor | None

    def __init__(self, kind: str, keep: Tensor | None = None) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("keep", keep)

    def forward(self, weight: Tensor) -> Tensor:
        """The same shape, few values; weights that were pruned are zero."""
        kept = weight if self.keep is None else weight * self.keep
        return straight_through(weight, ternary(kept) if self.kind == "ternary" else binary(kept))
