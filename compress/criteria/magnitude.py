"""Magnitude: the norm of what leaves."""

from typing import TYPE_CHECKING

from compress.criteria.base import Criterion

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from compress.criteria.base import Scorer


def l2_norm() -> "Scorer":
    """Of a channel over all layers of its group (Fang et al. 2023, arXiv:2301.12900)."""
    import torch_pruning as tp

    made: Scorer = tp.importance.GroupMagnitudeImportance(p=2)
    return made


def l1_norm() -> "Scorer":
    """Of a channel over all layers of its group (Li et al. 2017, arXiv:1608.08710)."""
    import torch_pruning as tp

    made: Scorer = tp.importance.GroupMagnitudeImportance(p=1)
    return made


def size(weight: "Tensor", gradient: "Tensor | None", generator: "Generator") -> "Tensor":
    """Of single weights (Han et al. 2015, arXiv:1506.02626)."""
    return weight.detach().abs()


MAGNITUDE = Criterion("magnitude", l2_norm, size)
MAGNITUDE_L1 = Criterion("magnitude-l1", l1_norm, size)
