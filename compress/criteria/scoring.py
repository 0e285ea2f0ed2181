"""Scores of single weights by a criterion."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from artifacts.types import Split
from compress.criteria import CRITERIA


def score_weights(
    name: str, module: nn.Module, weights: dict[str, Tensor], split: Split | None, indices: NDArray[np.int64], seed: int
) -> dict[str, Tensor]:
    """Scores of every weight, by parameter name, each of its weight's shape; larger matters more.

    Raises:
        ValueError: the criterion ranks channels only, or needs data and there is none.
    """
    criterion, generator = CRITERIA.find(name), torch.Generator().manual_seed(seed)
    if criterion.weights is None:
        raise ValueError(f"criterion {name!r} ranks channels, not single weights")
    if criterion.prepare:
        if split is None:
            raise ValueError(f"criterion {name!r} needs data")
        torch.manual_seed(seed)
        module.eval()
        criterion.prepare(module, split, indices)
    made = {n: criterion.weights(w, w.grad, generator) for n, w in weights.items()}
    module.zero_grad()
    return {n: torch.nan_to_num(s, nan=0.0, posinf=math.inf) for n, s in made.items()}
