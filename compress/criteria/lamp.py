"""LAMP: each squared magnitude over the sum of those at least as large (Lee et al. 2021, arXiv:2010.07611)."""

from typing import TYPE_CHECKING

from compress.criteria.base import Criterion

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from compress.criteria.base import Scorer


def lamp(scores: "Tensor") -> "Tensor":
    """Each squared magnitude as a share of those at least as large; 1 for the largest.

    >>> lamp(torch.tensor([1.0, 3.0, 4.0])).tolist()
    [0.125, 0.4285714328289032, 1.0]
    """
    import torch

    ordered, order = scores.flatten().double().sort()
    rest = ordered.flip(0).cumsum(0).flip(0)  # summed from the largest down, so that small ones lose no digits
    made = torch.zeros_like(ordered)
    made[order] = ordered / rest.clamp_min(1e-300)
    return made.view_as(scores).to(scores.dtype)


def channels() -> "Scorer":
    """Of a channel, by its squared magnitude among those of its group."""
    import torch_pruning as tp

    made: Scorer = tp.importance.GroupMagnitudeImportance(p=2, normalizer=lamp)
    return made


def weights(weight: "Tensor", gradient: "Tensor | None", generator: "Generator") -> "Tensor":
    """Of single weights, by their squared magnitude among those of their layer."""
    return lamp(weight.detach().double().square())


LAMP = Criterion("lamp", channels, weights)
