"""F1 of several labels: the harmonic mean of precision and recall (van Rijsbergen 1979)."""

import numpy as np
from numpy.typing import NDArray

from artifacts.types import Array, Arrays
from zoo.metrics.base import SHARE, Metric, first
from zoo.pairing import values_of


def counts(outputs: Arrays, targets: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each label: twice the true positives, and these with all false ones; logits above 0 say yes, targets above a half."""
    found, wanted = values_of(first(outputs), targets)
    said, true = np.asarray(found > 0), np.asarray(wanted > 0.5)  # type: ignore[operator]
    labels = said.shape[-1] if said.ndim > 1 else 1
    said, true = said.reshape(-1, labels), true.reshape(-1, labels)
    return 2.0 * (said & true).sum(axis=0), (said.sum(axis=0) + true.sum(axis=0)).astype(np.float64)


def f1_micro(outputs: Arrays, targets: Array) -> float:
    """F1 over all labels together: logits and targets (N, labels), 0..1."""
    hits, all_ = (float(value.sum()) for value in counts(outputs, targets))
    return hits / all_ if all_ else float("nan")


def f1_macro(outputs: Arrays, targets: Array) -> float:
    """The mean of each label's F1; a label that nobody says and that is never true is left out."""
    hits, all_ = counts(outputs, targets)
    seen = all_ > 0
    return float((hits[seen] / all_[seen]).mean()) if seen.any() else float("nan")


F1_MICRO = Metric("f1-micro", f1_micro, "larger", SHARE, alike=True)
F1_MACRO = Metric("f1-macro", f1_macro, "larger", SHARE, alike=True)
