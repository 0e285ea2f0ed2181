"""Outputs held against targets by shape, as `zoo.pairing` does for metrics, so that nothing broadcasts."""

from typing import TYPE_CHECKING

from artifacts.errors import DataError
from zoo.pairing import class_axis, shown

if TYPE_CHECKING:
    from torch import Tensor


def scores_first(outputs: "Tensor", targets: "Tensor") -> "tuple[Tensor, Tensor]":
    """Logits as PyTorch's losses take them, (N, C, *P), and class numbers (N, *P).

    Raises:
        DataError: the shapes do not fit.
    """
    if targets.ndim == outputs.ndim and targets.ndim > 1 and targets.shape[1] == 1:
        targets = targets[:, 0]
    if targets.ndim == 1 and outputs.ndim > 2:
        outputs = outputs.reshape(*outputs.shape[:2], *(size for size in outputs.shape[2:] if size != 1))
    return outputs.movedim(class_axis(outputs.shape, targets.shape), 1), targets


def like(outputs: "Tensor", targets: "Tensor") -> "Tensor":
    """Outputs in the shape of their targets, from which they may differ in axes of size one.

    Raises:
        DataError: they differ in more.
    """
    ours, theirs = ([size for size in shape[1:] if size != 1] for shape in (outputs.shape, targets.shape))
    if ours != theirs or len(outputs) != len(targets):
        raise DataError(f"outputs {shown(outputs.shape)} and targets {shown(targets.shape)} are not value by value the same.")
    return outputs.reshape(targets.shape)
