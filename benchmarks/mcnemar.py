"""Whether two classifiers differ in accuracy: a paired test on the same examples, never two percentages side by side."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError

Correct = NDArray[np.bool_]


@dataclass(frozen=True)
class PairedAccuracy:
    """Two classifiers on the same examples."""

    difference: float
    """B's accuracy minus A's."""
    p_value: float
    only_a: int
    """Examples that only A got right."""
    only_b: int
    examples: int

    @property
    def verdict(self) -> str:
        """What may be said of B at an error rate of 5 %."""
        if self.p_value >= 0.05:
            return "no difference shown"
        return "more accurate" if self.only_b > self.only_a else "less accurate"


def mcnemar(a: Correct, b: Correct) -> PairedAccuracy:
    """McNemar's exact test: of the examples that only one got right, is either's share more than a fair coin gives?

    The p value is two-sided and binomial (no continuity correction, no large-sample approximation); see McNemar,
    Psychometrika 12, 1947.

    Args:
        a: whether A was right, one per example, shape (N,).
        b: the same of B.

    Raises:
        DataError: they are not of the same examples.

    >>> mcnemar(np.array([True] * 8), np.array([False] * 8)).p_value
    0.0078125
    """
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise DataError(f"a paired test needs the same examples, but A has {a.shape} and B has {b.shape}.")
    from scipy.special import bdtr

    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    apart = only_a + only_b
    p_value = min(1.0, 2 * float(bdtr(min(only_a, only_b), apart, 0.5))) if apart else 1.0
    return PairedAccuracy((only_b - only_a) / len(a), p_value, only_a, only_b, len(a))


def read_correct(path: Path) -> Correct | None:
    """Which examples of its test set an artifact got right, as the run stored it; none where nothing was stored."""
    from artifacts.arrays import load_arrays

    if not path.is_file():
        return None
    arrays = load_arrays(path)
    if "correct" not in arrays:
        raise DataError(f"{path} does not say which examples were right; run the recipe again.")
    return arrays["correct"].astype(np.bool_)
