"""Distillation from layers: the student's features follow the teacher's (FitNets, Romero et al. 2015, arXiv:1412.6550)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from artifacts.errors import ModelError

Pairs = Sequence[tuple[Tensor, Tensor]]
"""What layers of the student and the teacher gave out, layer by layer."""

WEIGHT = 1.0
"""Of the feature term, if a recipe does not say."""


class FeatureLoss(nn.Module):
    """The mean over the layers of the squared difference between adapted student features and the teacher's.

    Adapters (a 1x1 convolution for maps (N, C, H, W), a linear layer for (N, C) and (N, L, C)) stand where the channels
    differ; they are trained with the student and thrown away. Of two maps of different size the larger is pooled.
    """

    def __init__(self, names: Sequence[tuple[str, str]], pairs: Pairs) -> None:
        """Built for layers `names` (student's, teacher's) that gave `pairs` for an example.

        Raises:
            ModelError: the features of two layers cannot be compared; names both.
        """
        super().__init__()
        self.adapters = nn.ModuleList([_adapter(name, *pair) for name, pair in zip(names, pairs, strict=True)])

    def forward(self, pairs: Pairs) -> Tensor:
        """The loss of one batch, a scalar."""
        terms = []
        for adapter, (student, teacher) in zip(self.adapters, pairs, strict=True):
            ours, theirs = same_size(adapter(student).float(), teacher.detach())
            terms.append(F.mse_loss(ours, theirs))
        return torch.stack(terms).mean()


def _adapter(names: tuple[str, str], student: Tensor, teacher: Tensor) -> nn.Module:
    shapes = f"layer {names[0]!r} of the student {tuple(student.shape)} and {names[1]!r} of the teacher {tuple(teacher.shape)}"
    if student.ndim != teacher.ndim or student.ndim not in (2, 3, 4):
        raise ModelError(f"{shapes} cannot be compared; pair layers whose outputs have the same 2, 3 or 4 dimensions.")
    if student.ndim == 3 and student.shape[1] != teacher.shape[1]:
        raise ModelError(f"{shapes} have sequences of different length; pair layers with the same number of positions.")
    channel = 1 if student.ndim == 4 else -1
    ours, theirs = student.shape[channel], teacher.shape[channel]
    if ours == theirs:
        return nn.Identity()
    return nn.Conv2d(ours, theirs, 1, bias=False) if student.ndim == 4 else nn.Linear(ours, theirs, bias=False)


def same_size(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps (N, C, H, W) averaged down to the smaller height and width; anything else as it is."""
    if left.ndim != 4 or left.shape[2:] == right.shape[2:]:
        return left, right
    size = (min(left.shape[2], right.shape[2]), min(left.shape[3], right.shape[3]))
    return F.adaptive_avg_pool2d(left, size), F.adaptive_avg_pool2d(right, size)
