"""Top-5 accuracy, as ImageNet's papers give it beside top-1."""

import numpy as np
from numpy.typing import NDArray

from artifacts.types import Array, Arrays
from zoo.metrics.base import SHARE, Metric, first
from zoo.pairing import classes_of, share, shares

MOST = 5


def hits(outputs: Arrays, targets: Array) -> tuple[NDArray[np.bool_], Array]:
    """Whether fewer than five scores of the first output are larger than that of the target, and the targets, both (N, *P).

    A score that is as large as the target's counts as larger where its class comes first, as in top-1.
    """
    scores, numbers = classes_of(first(outputs), targets)
    values, classes = scores.astype(np.float64), np.maximum(numbers.astype(np.int64), 0)[..., None]
    own = np.take_along_axis(values, classes, axis=-1)
    before = np.arange(values.shape[-1]) < classes
    return np.asarray(((values > own) | ((values == own) & before)).sum(axis=-1) < MOST), numbers


def right(outputs: Arrays, targets: Array) -> Array:
    """Of each example, (N,): whether it is right, or the share of its positions that are."""
    return shares(*hits(outputs, targets))


def top5(outputs: Arrays, targets: Array) -> float:
    """Share of targets that count and are among the five largest scores; 0..1, and 1 of up to five classes."""
    return share(*hits(outputs, targets))


TOP5 = Metric("top5", top5, "larger", SHARE, "classes", per_example=right)
