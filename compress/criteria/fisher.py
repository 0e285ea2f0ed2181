"""weight^2 x mean squared gradient (Theis et al. 2018, arXiv:1801.05787)."""

from typing import TYPE_CHECKING

from compress.criteria.base import Criterion
from compress.criteria.hessian import channels, weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from artifacts.types import Split


def prepare(module: "nn.Module", split: "Split", indices: "NDArray[np.int64]") -> None:
    """Leave the diagonal of the empirical Fisher information."""
    from compress.criteria.preparing import squared_gradients

    squared_gradients(module, split, indices)


FISHER = Criterion("fisher", channels, weights, prepare)
