"""A metric and a pruning criterion for tightship, named in pyproject.toml as entry points."""

from typing import TYPE_CHECKING

import numpy as np

from artifacts.types import Array, Arrays
from compress.criteria import Criterion
from zoo.metrics import Metric

if TYPE_CHECKING:
    from compress.criteria.base import Scorer


def right(outputs: Arrays, targets: Array) -> Array:
    """Whether each example's largest output is at its target."""
    return next(iter(outputs.values())).argmax(axis=1) == targets


def balanced_accuracy(outputs: Arrays, targets: Array) -> float:
    """The mean over classes of the share of their examples that are right: a rare class counts as much as a common one."""
    correct = right(outputs, targets)
    return float(np.mean([correct[targets == label].mean() for label in np.unique(targets)]))


def channels() -> "Scorer":
    """The distance of a filter to all others of its layer: what lies in their middle can be replaced by them."""
    import torch

    def scores(group):
        dependency, kept = group[0]
        filters = dependency.target.module.weight.detach().flatten(1)[kept]
        return torch.cdist(filters, filters).sum(dim=1)

    return scores


BALANCED_ACCURACY = Metric("balanced-accuracy", balanced_accuracy, "larger", "share", "classes", per_example=right)

# He et al. 2019, Filter Pruning via Geometric Median (arXiv:1811.00250)
GEOMETRIC_MEDIAN = Criterion("geometric-median", channels, instead="magnitude")
