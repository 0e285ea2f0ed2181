"""Whether outputs go with the targets, whatever their scale: in order (Spearman) or in direction (cosine)."""

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError
from artifacts.types import Array, Arrays
from zoo.metrics.base import Metric, first
from zoo.pairing import values_of

Values = NDArray[np.float64]


def spearman(outputs: Arrays, targets: Array) -> float:
    """The rank correlation (Spearman 1904), -1..1; with several values per example the mean of each one's own.

    Equal values share their mean rank. Where the outputs are all equal it is 0; where the targets are, that value is left out.

    Raises:
        DataError: no value of the targets differs between examples.
    """
    found, wanted = (value.reshape(len(targets), -1) for value in values_of(first(outputs), targets))
    differ = np.asarray(wanted != wanted[:1]).any(axis=0)
    if not differ.any():
        raise DataError("metric 'spearman' needs targets that differ between examples, and these are all the same.")
    ours, theirs = (_centered_ranks(value[:, differ]) for value in (found, wanted))
    spread = np.sqrt((ours**2).sum(axis=0) * (theirs**2).sum(axis=0))
    return float(np.divide((ours * theirs).sum(axis=0), spread, out=np.zeros_like(spread), where=spread > 0).mean())


def _centered_ranks(values: Array) -> Values:
    from scipy.stats import rankdata

    ranks: Values = rankdata(values, axis=0)
    return np.asarray(ranks - ranks.mean(axis=0))


def cosines(outputs: Arrays, targets: Array) -> Values:
    """The cosine of the angle between each example's output and its target, (N,), as vectors of all their values.

    A vector of zeros has no direction, and gives 0.
    """
    found, wanted = (value.reshape(len(targets), -1).astype(np.float64) for value in values_of(first(outputs), targets))
    products = np.einsum("nd,nd->n", found, wanted)
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    return np.asarray(np.divide(products, lengths, out=np.zeros_like(lengths), where=lengths > 0))


def cosine(outputs: Arrays, targets: Array) -> float:
    """The mean cosine of the examples, -1..1; see `cosines`."""
    return float(cosines(outputs, targets).mean())


SPEARMAN = Metric("spearman", spearman, alike=True)
COSINE = Metric("cosine", cosine, alike=True, per_example=cosines)
