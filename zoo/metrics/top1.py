"""Top-1 accuracy."""

import numpy as np

from artifacts.types import Array, Arrays
from zoo.metrics.base import SHARE, Metric, first


def right(outputs: Arrays, targets: Array) -> Array:
    """Whether the largest value of the first output (N, classes) is at the target (N,)."""
    return np.asarray(first(outputs).reshape(len(targets), -1).argmax(axis=1) == targets)


def top1(outputs: Arrays, targets: Array) -> float:
    """Share of examples whose largest output is at the target; 0..1."""
    return float(right(outputs, targets).mean())


TOP1 = Metric("top1", top1, "larger", SHARE, "classes", per_example=right)
