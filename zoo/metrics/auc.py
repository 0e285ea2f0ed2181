"""The area under the ROC curve: the share of pairs of a positive and a negative in which the positive scores higher.

By ranks (Mann and Whitney 1947), equal scores counting a half, which is what integrating the curve gives (Hanley and McNeil
1982): all classes at once, so that an interval by resampling takes seconds.
"""

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError
from artifacts.types import Array, Arrays
from zoo.metrics.base import SHARE, Metric, first
from zoo.pairing import classes_of, counted, values_of

Values = NDArray[np.float64]

MOST = 2**22
"""Scores that are ranked at once."""


def auc(outputs: Arrays, targets: Array) -> float:
    """The mean area over the classes that are true somewhere and not everywhere, each against all the rest (macro).

    The first output is logits, or probabilities where all its values lie in 0..1. Logits are ranked by their softmax.

    Raises:
        DataError: nothing counts, or what does is of one class only.
    """
    scores, numbers = classes_of(first(outputs), targets)
    some = counted(numbers)
    true, rows = numbers[some].astype(np.int64), scores[some]
    classes = np.unique(true)
    if len(classes) < 2:
        raise DataError(f"metric 'auc' needs targets of two classes, and all are of class {classes[0]}.")
    ranked = rows if rows.min() >= 0 and rows.max() <= 1 else log_odds(rows)
    areas = [_areas(ranked[:, part], np.asarray(true[:, None] == part)) for part in _parts(classes, len(true))]
    return float(np.concatenate(areas).mean())


def auc_labels(outputs: Arrays, targets: Array) -> float:
    """The mean area over the labels that are true of some examples and not of all; scores and targets (N, labels), 0..1.

    With one label this is the area of a network that answers yes or no; what is above a half is a yes.

    Raises:
        DataError: no label is true of some examples only.
    """
    found, wanted = values_of(first(outputs), targets)
    columns = found.shape[-1] if found.ndim > 1 else 1
    scores, true = found.reshape(-1, columns), np.asarray(wanted.reshape(-1, columns) > 0.5)  # type: ignore[operator]
    both = np.flatnonzero(true.any(axis=0) & ~true.all(axis=0))
    if not both.size:
        raise DataError("metric 'auc-labels' needs a label that is true of some examples and not of others, and there is none.")
    areas = [_areas(scores[:, some], true[:, some]) for some in _parts(both, len(true))]
    return float(np.concatenate(areas).mean())


def _parts(columns: NDArray[np.int64], rows: int) -> list[NDArray[np.int64]]:
    """The columns in parts that are ranked at once."""
    width = max(1, MOST // max(1, rows))
    return [columns[start : start + width] for start in range(0, len(columns), width)]


def _areas(scores: Array, true: NDArray[np.bool_]) -> Values:
    """The area of each column of scores (M, K), of which some are true and some are not."""
    from scipy.stats import rankdata

    yes = true.sum(axis=0)
    ranks = np.where(true, rankdata(scores, axis=0), 0.0).sum(axis=0)
    return np.asarray((ranks - yes * (yes + 1) / 2) / (yes * (len(true) - yes)), np.float64)


def log_odds(rows: Array) -> Values:
    """log(p / (1 - p)) of the softmax p of logits (M, C): in the order of p, but apart where p is rounded to 1."""
    made = np.empty(rows.shape, np.float64)
    step = max(1, MOST // rows.shape[-1])
    for start in range(0, len(rows), step):
        made[start : start + step] = _odds(rows[start : start + step].astype(np.float64))
    return made


def _odds(values: Values) -> Values:
    from scipy.special import logsumexp

    place = values.argmax(axis=-1)[:, None]
    most = np.take_along_axis(values, place, axis=-1)
    shares = np.exp(values - most)
    np.put_along_axis(shares, place, 0.0, axis=-1)
    odds: Values = values - most - np.log1p(np.maximum(shares.sum(axis=-1, keepdims=True) - shares, 0.0))
    np.put_along_axis(values, place, -np.inf, axis=-1)
    np.put_along_axis(odds, place, most - logsumexp(values, axis=-1, keepdims=True), axis=-1)
    return odds


AUC = Metric("auc", auc, "larger", SHARE, "classes")
AUC_LABELS = Metric("auc-labels", auc_labels, "larger", SHARE, alike=True)
