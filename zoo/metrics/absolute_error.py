"""The mean absolute error."""

import numpy as np

from artifacts.types import Array, Arrays
from zoo.metrics.base import Metric, first
from zoo.pairing import values_of


def sizes(outputs: Arrays, targets: Array) -> Array:
    """The mean of each example's absolute differences, (N,)."""
    differences = np.abs(np.subtract(*values_of(first(outputs), targets)))
    return np.asarray(differences.reshape(len(targets), -1).mean(axis=1))


def mae(outputs: Arrays, targets: Array) -> float:
    """The mean absolute difference of the first output from the targets, over all their values."""
    return float(np.mean(np.abs(np.subtract(*values_of(first(outputs), targets)))))


MAE = Metric("mae", mae, "smaller", alike=True, per_example=sizes)
