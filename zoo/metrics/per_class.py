"""The figures of each class, and which are taken for which, of a task whose metric counts classes."""

import numpy as np

from artifacts.records.per_class import ClassRecord, ConfusionRecord, PerClassRecord
from artifacts.types import Array, Arrays
from zoo.metrics.base import Metric
from zoo.metrics.classes import Answers, Counts, answers

MOST_IN_TABLE = 40
"""Classes up to which the whole table of confusions is kept: 1,600 numbers."""
MOST_CLASSES = 1000
"""Classes that have figures of their own."""
MOST_CONFUSIONS = 20


def per_class(metric: Metric, outputs: Arrays, targets: Array) -> PerClassRecord | None:
    """Precision, recall, F1 and IoU of each class, and the confusions, of the first output on a whole split.

    Args:
        metric: the task's; it has scored the same arrays.
        outputs: the first one (N, C, *P) or (N, *P, C).
        targets: class numbers (N, *P); -100 does not count.

    Returns:
        None where the metric does not count classes, or the targets have names.
    """
    if not metric.classifies or targets.dtype.names:
        return None
    found = answers(outputs, targets)
    small = found.classes <= MOST_IN_TABLE
    return PerClassRecord(
        found.classes, len(found.true), _figures(found), _confusions(found), _table(found) if small else None
    )  # fmt: skip


def _figures(found: Answers) -> tuple[ClassRecord, ...]:
    right, answered, support = found.right, found.answered, found.support
    # of the same targets the same classes, so that two artifacts can be held against each other
    chosen = np.sort(np.argsort(-support, kind="stable")[:MOST_CLASSES])
    return tuple(_figures_of(int(at), int(right[at]), int(answered[at]), int(support[at])) for at in chosen)


def _figures_of(number: int, right: int, answered: int, support: int) -> ClassRecord:
    return ClassRecord(
        number, support, answered, _share(right, answered), _share(right, support), _share(2 * right, answered + support),
        _share(right, answered + support - right),
    )  # fmt: skip


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _confusions(found: Answers) -> tuple[ConfusionRecord, ...]:
    wrong = found.said != found.true
    pairs, counts = np.unique(found.true[wrong] * found.classes + found.said[wrong], return_counts=True)
    chosen = np.argsort(-counts, kind="stable")[:MOST_CONFUSIONS]
    return tuple(ConfusionRecord(*divmod(int(pairs[at]), found.classes), int(counts[at])) for at in chosen)


def _table(found: Answers) -> tuple[tuple[int, ...], ...]:
    pairs: Counts = found.true * found.classes + found.said
    table = np.bincount(pairs, minlength=found.classes**2).reshape(found.classes, found.classes)
    return tuple(tuple(row) for row in table.tolist())
