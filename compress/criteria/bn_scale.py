"""|gamma| of the batch norm as it stands, comparable from layer to layer (Liu et al. 2017, arXiv:1708.06519)."""

from typing import TYPE_CHECKING

from compress.criteria.base import Criterion

if TYPE_CHECKING:
    from compress.criteria.base import Scorer


def channels() -> "Scorer":
    """Of a channel; a group that no batch norm follows cannot be ranked."""
    import torch_pruning as tp

    made: Scorer = tp.importance.BNScaleImportance(normalizer=None)
    return made


BN_SCALE = Criterion("bn-scale", channels, instead="magnitude")
