"""Attention transfer: the student looks where the teacher looks (Zagoruyko and Komodakis 2017, arXiv:1612.03928)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from artifacts.errors import ModelError
from compress.distillation.features import Pairs, same_size

WEIGHT = 1000.0
"""Of the attention term, if a recipe does not say: the authors' beta, for their mean over positions."""


class AttentionLoss(nn.Module):
    """The sum over the layers of the mean squared difference between the two attention maps. Has no weights."""

    def __init__(self, names: Sequence[tuple[str, str]], pairs: Pairs) -> None:
        """Built for layers `names` (student's, teacher's) that gave `pairs` for an example.

        Raises:
            ModelError: a layer gives no maps (N, C, H, W); names it.
        """
        super().__init__()
        for (ours, theirs), (student, teacher) in zip(names, pairs, strict=True):
            for whose, name, features in (("student", ours, student), ("teacher", theirs, teacher)):
                if features.ndim != 4:
                    raise ModelError(
                        f"attention maps need layers that give (N, C, H, W); layer {name!r} of the {whose} gives "
                        f"{tuple(features.shape)}: use method features."
                    )

    def forward(self, pairs: Pairs) -> Tensor:
        """The loss of one batch, a scalar."""
        terms = []
        for student, teacher in pairs:
            ours, theirs = same_size(energy(student), energy(teacher.detach()))
            terms.append(F.mse_loss(F.normalize(ours.flatten(1)), F.normalize(theirs.flatten(1))))
        return torch.stack(terms).sum()


def energy(features: Tensor) -> Tensor:
    """The mean over the channels of the squared features (N, C, H, W), as (N, 1, H, W)."""
    return features.square().mean(1, keepdim=True)
