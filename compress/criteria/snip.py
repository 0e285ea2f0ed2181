"""|gradient x weight| of single weights (SNIP: Lee et al. 2019, arXiv:1810.02340)."""

from typing import TYPE_CHECKING

from compress.criteria.base import Criterion
from compress.criteria.taylor import prepare

if TYPE_CHECKING:
    from torch import Generator, Tensor


def weights(weight: "Tensor", gradient: "Tensor | None", generator: "Generator") -> "Tensor":
    """What the loss changes by, to first order, without the weight."""
    assert gradient is not None
    return (weight.detach() * gradient).abs()


SNIP = Criterion("snip", None, weights, prepare, instead="taylor")
