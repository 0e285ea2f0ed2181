"""Top-k accuracy: whether the target is among the k largest scores; ImageNet's papers give it for k = 1 and 5."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from artifacts.types import Array, Arrays
from zoo.metrics.base import SHARE, Metric, first
from zoo.pairing import classes_of, share, shares


def hits(outputs: Arrays, targets: Array, most: int) -> tuple[NDArray[np.bool_], Array]:
    """Whether fewer than `most` scores of the first output are larger than that of the target, and the targets, both (N, *P).

    A score that is as large as the target's counts as larger where its class comes first.
    """
    scores, numbers = classes_of(first(outputs), targets)
    if most == 1:
        return np.asarray(scores.argmax(axis=-1) == numbers), numbers
    values, classes = scores.astype(np.float64), np.maximum(numbers.astype(np.int64), 0)[..., None]
    own = np.take_along_axis(values, classes, axis=-1)
    before = np.arange(values.shape[-1]) < classes
    return np.asarray(((values > own) | ((values == own) & before)).sum(axis=-1) < most), numbers


def right(outputs: Arrays, targets: Array, most: int) -> Array:
    """Of each example, (N,): whether it is right, or the share of its positions that are."""
    return shares(*hits(outputs, targets, most))


def accuracy(outputs: Arrays, targets: Array, most: int) -> float:
    """Share of examples, or of all positions that count, whose target is among the `most` largest scores; 0..1."""
    return share(*hits(outputs, targets, most))


def top(most: int) -> Metric:
    """The metric of this k; it is 1 of up to k classes."""
    each = partial(right, most=most)
    return Metric(f"top{most}", partial(accuracy, most=most), "larger", SHARE, "classes", per_example=each)


TOP1, TOP2, TOP3, TOP5, TOP10 = map(top, (1, 2, 3, 5, 10))
