"""F1, IoU and correlation of class numbers, from how often each class is right, answered and true: no table of all pairs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError
from artifacts.types import Array, Arrays
from zoo.metrics.base import SHARE, Metric, first
from zoo.pairing import classes_of, counted

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Answers:
    """What is answered and what is true at the M positions that count."""

    said: Counts
    """(M,): the place of the largest score."""
    true: Counts
    """(M,)"""
    classes: int
    """How many the network tells apart."""

    @property
    def right(self) -> Counts:
        """(classes,): how often each class is true and answered."""
        return self.count(self.true[self.said == self.true])

    @property
    def answered(self) -> Counts:
        """(classes,): how often each class is answered."""
        return self.count(self.said)

    @property
    def support(self) -> Counts:
        """(classes,): how often each class is true."""
        return self.count(self.true)

    def count(self, numbers: Counts) -> Counts:
        """(classes,): how often each class number stands in (M,)."""
        return np.bincount(numbers, minlength=self.classes).astype(np.int64)


def answers(outputs: Arrays, targets: Array) -> Answers:
    """The answers of the first output, (N, C, *P) or (N, *P, C), to class numbers (N, *P).

    Raises:
        DataError: the shapes do not fit, or nothing counts.
    """
    scores, numbers = classes_of(first(outputs), targets)
    some = counted(numbers)
    return Answers(scores.argmax(axis=-1)[some].astype(np.int64), numbers[some].astype(np.int64), scores.shape[-1])


def f1(outputs: Arrays, targets: Array) -> float:
    """The mean of each class's F1 (van Rijsbergen 1979); a class that is neither true nor answered is left out.

    Over all classes together F1 is the accuracy, `top1`.
    """
    found = answers(outputs, targets)
    return _mean(2 * found.right, found.answered + found.support)


def miou(outputs: Arrays, targets: Array) -> float:
    """The mean of each class's intersection over union, of all examples together, as PASCAL VOC has it (Everingham 2010).

    A class that is neither true nor answered is left out.
    """
    found = answers(outputs, targets)
    right = found.right
    return _mean(right, found.answered + found.support - right)


def mcc(outputs: Arrays, targets: Array) -> float:
    """Matthews' correlation coefficient of K classes (Gorodkin 2004): 1 perfect, 0 by chance or one answer throughout.

    Raises:
        DataError: the targets are of one class only.
    """
    found = answers(outputs, targets)
    right, answered, support = (value.astype(np.float64) for value in (found.right, found.answered, found.support))
    count = float(len(found.true))
    if support.max() == count:
        raise DataError(f"metric 'mcc' needs targets of two classes, and all are of class {support.argmax()}.")
    spread = (count**2 - answered @ answered) * (count**2 - support @ support)
    return float((right.sum() * count - answered @ support) / np.sqrt(spread)) if spread > 0 else 0.0


def _mean(parts: Counts, wholes: Counts) -> float:
    """The mean share over the classes whose whole is not 0; there is one wherever a position counts."""
    seen = wholes > 0
    return float((parts[seen] / wholes[seen]).mean())


F1 = Metric("f1", f1, "larger", SHARE, "classes")
MIOU = Metric("miou", miou, "larger", SHARE, "classes")
MCC = Metric("mcc", mcc, "larger", targets="classes")
