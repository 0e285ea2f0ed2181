"""The perplexity of a language model: how many tokens it is torn between on average (Jelinek et al. 1977)."""

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError
from artifacts.types import Array, Arrays
from zoo.metrics.base import Metric, first
from zoo.pairing import classes_of, counted

MOST = 2**22
"""Scores that are looked at at once."""


def losses(scores: Array, classes: NDArray[np.int64]) -> NDArray[np.float64]:
    """The cross-entropy at each position, (M,), of logits or log-probabilities (M, C) and class numbers (M,).

    Raises:
        DataError: the scores are probabilities.
    """
    from scipy.special import logsumexp

    made, step, summed = np.empty(len(classes)), max(1, MOST // scores.shape[-1]), True
    for start in range(0, len(classes), step):
        values = scores[start : start + step].astype(np.float64)
        summed = summed and bool(values.min() >= 0) and bool(np.allclose(values.sum(axis=-1), 1, atol=1e-2))
        own = np.take_along_axis(values, classes[start : start + step, None], axis=-1)
        made[start : start + step] = logsumexp(values, axis=-1) - own[:, 0]
    if summed:
        raise DataError("metric 'perplexity' needs logits or log-probabilities, and the outputs are probabilities.")
    return made


def perplexity(outputs: Arrays, targets: Array) -> float:
    """e to the mean cross-entropy of the first output over all positions that count, at least 1.

    Raises:
        DataError: nothing counts, or the outputs are probabilities.
    """
    scores, numbers = classes_of(first(outputs), targets)
    some = counted(numbers)
    with np.errstate(over="ignore"):
        # what is too large to say is refused by whoever asked
        return float(np.exp(losses(scores[some], numbers[some].astype(np.int64)).mean()))


PERPLEXITY = Metric("perplexity", perplexity, "smaller", targets="classes")
