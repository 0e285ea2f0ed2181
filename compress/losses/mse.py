"""The mean squared error, against targets or against teachers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from compress.losses.base import LossTerm
from compress.losses.shapes import like

if TYPE_CHECKING:
    from torch import Tensor


def from_targets(outputs: "Tensor", targets: "Tensor", label_smoothing: float) -> "Tensor":
    """The mean squared difference of outputs and targets of equal shape, but for axes of size one.

    Raises:
        DataError: the shapes differ.
    """
    import torch.nn.functional as F

    return F.mse_loss(like(outputs, targets), targets.to(outputs.dtype))


def from_teachers(student: "Tensor", teachers: "Sequence[Tensor]", weights: Sequence[float], temperature: float) -> "Tensor":
    """The mean squared difference from the teachers' weighted mean."""
    import torch
    import torch.nn.functional as F

    wanted = sum((w * z for w, z in zip(weights, teachers, strict=True)), torch.zeros_like(student))
    return F.mse_loss(student, wanted)


MSE = LossTerm("mse", from_targets, from_teachers, "values")
