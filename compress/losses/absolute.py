"""The mean absolute difference, and Huber's loss, which is quadratic near zero."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from compress.losses.base import LossTerm
from compress.losses.shapes import like

if TYPE_CHECKING:
    from torch import Tensor


def l1(outputs: "Tensor", targets: "Tensor", label_smoothing: float) -> "Tensor":
    """The mean absolute difference of outputs and targets of equal shape, but for axes of size one."""
    import torch.nn.functional as F

    return F.l1_loss(like(outputs, targets), targets.to(outputs.dtype))


def huber(outputs: "Tensor", targets: "Tensor", label_smoothing: float) -> "Tensor":
    """Half the square of differences below 1, and beyond it their size less a half (Huber 1964); of shapes as in `l1`."""
    import torch.nn.functional as F

    return F.huber_loss(like(outputs, targets), targets.to(outputs.dtype))


def l1_from_teachers(student: "Tensor", teachers: "Sequence[Tensor]", weights: Sequence[float], temperature: float) -> "Tensor":
    """The mean absolute difference from the teachers' weighted mean."""
    import torch
    import torch.nn.functional as F

    return F.l1_loss(student, sum((w * z for w, z in zip(weights, teachers, strict=True)), torch.zeros_like(student)))


L1 = LossTerm("l1", l1, l1_from_teachers, "values")
HUBER = LossTerm("huber", huber, targets="values")
