"""The root of the mean squared error, and the share of the targets' variance that is explained."""

import numpy as np

from artifacts.types import Array, Arrays
from zoo.metrics.base import Metric, first
from zoo.metrics.squared_error import mse
from zoo.pairing import values_of


def rmse(outputs: Arrays, targets: Array) -> float:
    """The root of the mean squared difference of the first output from the targets, in their unit."""
    return float(np.sqrt(mse(outputs, targets)))


def r2(outputs: Arrays, targets: Array) -> float:
    """The coefficient of determination: 1 for perfect outputs, 0 for the targets' mean; over all values of all examples.

    With several values per example each has a mean of its own.
    """
    found, wanted = (np.asarray(value, np.float64) for value in values_of(first(outputs), targets))
    left, whole = ((found - wanted) ** 2).sum(), ((wanted - wanted.mean(axis=0)) ** 2).sum()
    return float(1 - left / whole) if whole else float("nan")


RMSE = Metric("rmse", rmse, "smaller", alike=True)
R2 = Metric("r2", r2, alike=True)
