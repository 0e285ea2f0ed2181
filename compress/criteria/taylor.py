"""|gradient x weight| of channels (Molchanov et al. 2017, arXiv:1611.06440, and 2019, arXiv:1906.10771)."""

from typing import TYPE_CHECKING

from compress.criteria.base import Criterion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from artifacts.types import Split
    from compress.criteria.base import Scorer


def channels() -> "Scorer":
    """What the loss changes by, to first order, without the channel."""
    import torch_pruning as tp

    made: Scorer = tp.importance.GroupTaylorImportance()
    return made


def prepare(module: "nn.Module", split: "Split", indices: "NDArray[np.int64]") -> None:
    """Leave the gradients of the task's loss."""
    from compress.criteria.preparing import gradients

    gradients(module, split, indices)


TAYLOR = Criterion("taylor", channels, None, prepare, instead="snip")
