"""Top-5 accuracy, as ImageNet's papers give it beside top-1."""

import numpy as np

from artifacts.types import Array, Arrays
from zoo.metrics.base import SHARE, Metric, first

MOST = 5


def right(outputs: Arrays, targets: Array) -> Array:
    """Whether fewer than five values of the first output (N, classes) are larger than that of the target (N,).

    A value that is as large as the target's counts as larger where its class comes first, as in top-1.
    """
    classes = targets.astype(np.int64)[:, None]
    scores = first(outputs).reshape(len(targets), -1).astype(np.float64)
    own = np.take_along_axis(scores, classes, axis=1)
    before = np.arange(scores.shape[1])[None] < classes
    return np.asarray(((scores > own) | ((scores == own) & before)).sum(axis=1) < MOST)


def top5(outputs: Arrays, targets: Array) -> float:
    """Share of examples whose target is among the five largest outputs; 0..1, and 1 of up to five classes."""
    return float(right(outputs, targets).mean())


TOP5 = Metric("top5", top5, "larger", SHARE, "classes", per_example=right)
