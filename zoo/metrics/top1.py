"""Top-1 accuracy."""

import numpy as np
from numpy.typing import NDArray

from artifacts.types import Array, Arrays
from zoo.metrics.base import SHARE, Metric, first
from zoo.pairing import classes_of, share, shares


def hits(outputs: Arrays, targets: Array) -> tuple[NDArray[np.bool_], Array]:
    """Whether the largest score of the first output is at the target, and the targets, both (N, *P)."""
    scores, classes = classes_of(first(outputs), targets)
    return np.asarray(scores.argmax(axis=-1) == classes), classes


def right(outputs: Arrays, targets: Array) -> Array:
    """Of each example, (N,): whether it is right, or the share of its positions that are."""
    return shares(*hits(outputs, targets))


def top1(outputs: Arrays, targets: Array) -> float:
    """Share of examples, or of all positions that count, whose largest score is at the target; 0..1."""
    return share(*hits(outputs, targets))


TOP1 = Metric("top1", top1, "larger", SHARE, "classes", per_example=right)
