"""A task's metric, computed from the outputs of the deployed artifact. Larger is better for every metric here."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError


def top1(outputs: NDArray[Any], targets: NDArray[Any]) -> float:
    """Share of examples whose largest output (N, classes) is at the target (N,); 0..1."""
    return float((outputs.reshape(len(targets), -1).argmax(axis=1) == targets).mean())


def negative_mse(outputs: NDArray[Any], targets: NDArray[Any]) -> float:
    """Minus the mean squared error."""
    return -float(np.mean((outputs.reshape(targets.shape) - targets) ** 2))


METRICS: dict[str, Callable[[NDArray[Any], NDArray[Any]], float]] = {"top1": top1, "negative-mse": negative_mse}


def score(metric: str, outputs: NDArray[Any], targets: NDArray[Any]) -> float:
    """The metric of the first output over a whole split.

    Raises:
        DataError: an output is not a number.
    """
    if not np.isfinite(outputs).all():
        raise DataError(f"{int((~np.isfinite(outputs)).sum())} outputs are NaN or infinite; the accuracy is undefined.")
    return METRICS[metric](outputs, targets)
