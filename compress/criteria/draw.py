"""A draw: the baseline that the others must beat."""

from typing import TYPE_CHECKING

from compress.criteria.base import Criterion

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from compress.criteria.base import Scorer


def channels() -> "Scorer":
    """Scores of channels that say nothing."""
    import torch_pruning as tp

    made: Scorer = tp.importance.RandomImportance()
    return made


def weights(weight: "Tensor", gradient: "Tensor | None", generator: "Generator") -> "Tensor":
    """Scores of weights that say nothing."""
    import torch

    return torch.rand(weight.shape, generator=generator)


RANDOM = Criterion("random", channels, weights)
