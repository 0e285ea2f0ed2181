"""The mean squared error, as it is and with its sign turned."""

import numpy as np

from artifacts.types import Array, Arrays
from zoo.metrics.base import Metric, first
from zoo.pairing import values_of


def squares(outputs: Arrays, targets: Array) -> Array:
    """The mean of each example's squared differences, (N,)."""
    differences = np.subtract(*values_of(first(outputs), targets))
    return np.asarray((differences**2).reshape(len(targets), -1).mean(axis=1))


def mse(outputs: Arrays, targets: Array) -> float:
    """The mean squared difference of the first output from the targets, over all their values."""
    return float(np.mean(np.subtract(*values_of(first(outputs), targets)) ** 2))


def negative_mse(outputs: Arrays, targets: Array) -> float:
    """Minus the mean squared error."""
    return -mse(outputs, targets)


MSE = Metric("mse", mse, "smaller", alike=True, per_example=squares)
NEGATIVE_MSE = Metric("negative-mse", negative_mse, alike=True)
