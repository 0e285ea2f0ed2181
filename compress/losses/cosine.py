"""One minus the cosine of the angle to what teachers say, for embeddings."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from compress.losses.base import LossTerm

if TYPE_CHECKING:
    from torch import Tensor


def angle(student: "Tensor", teachers: "Sequence[Tensor]", weights: Sequence[float], temperature: float) -> "Tensor":
    """To the weighted mean of the teachers' directions, of embeddings (N, ...), averaged over the batch."""
    import torch
    import torch.nn.functional as F

    directions = [w * F.normalize(z.flatten(1), dim=1) for w, z in zip(weights, teachers, strict=True)]
    return (1 - F.cosine_similarity(student.flatten(1), torch.stack(directions).sum(0), dim=1)).mean()


COSINE = LossTerm("cosine", teaching=angle)
