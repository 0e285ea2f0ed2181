"""Binary cross-entropy of logits: several labels may hold of one example."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from compress.losses.base import LossTerm
from compress.losses.shapes import like

if TYPE_CHECKING:
    from torch import Tensor


def from_targets(outputs: "Tensor", targets: "Tensor", label_smoothing: float) -> "Tensor":
    """Of logits and targets 0..1 of equal shape, but for axes of size one; smoothing moves targets towards a half."""
    import torch.nn.functional as F

    wanted = targets.to(outputs.dtype) * (1 - label_smoothing) + 0.5 * label_smoothing
    return F.binary_cross_entropy_with_logits(like(outputs, targets), wanted)


def from_teachers(student: "Tensor", teachers: "Sequence[Tensor]", weights: Sequence[float], temperature: float) -> "Tensor":
    """T² times that of logits softened by T, against the teachers' weighted mean of probabilities."""
    import torch
    import torch.nn.functional as F

    wanted = sum((w * (z / temperature).sigmoid() for w, z in zip(weights, teachers, strict=True)), torch.zeros_like(student))
    return F.binary_cross_entropy_with_logits(student / temperature, wanted) * temperature**2


BCE = LossTerm("bce", from_targets, from_teachers)
