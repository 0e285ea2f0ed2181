"""weight^2 x the Hessian's diagonal (optimal brain damage: LeCun et al. 1989)."""

from typing import TYPE_CHECKING

from compress.criteria.base import Criterion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Generator, Tensor, nn

    from artifacts.types import Split
    from compress.criteria.base import Scorer


def channels() -> "Scorer":
    """What the loss changes by, to second order, without the channel."""
    import torch_pruning as tp

    made: Scorer = tp.importance.GroupHessianImportance()
    return made


def weights(weight: "Tensor", gradient: "Tensor | None", generator: "Generator") -> "Tensor":
    """What the loss changes by, to second order, without the weight; `gradient` holds the curvature."""
    assert gradient is not None
    return weight.detach().square() * gradient


def prepare(module: "nn.Module", split: "Split", indices: "NDArray[np.int64]") -> None:
    """Leave the diagonal of the loss's Hessian."""
    from compress.criteria.preparing import hessian_diagonal

    hessian_diagonal(module, split, indices)


HESSIAN = Criterion("hessian", channels, weights, prepare)
