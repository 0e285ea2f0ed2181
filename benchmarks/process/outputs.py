"""Whether two runs returned the same, so that no timed call left its work out."""

import numpy as np

from artifacts.types import Array, Arrays

SAME = 1e-3
"""How far two runs of one engine on the same inputs may be apart, in units of the output's largest value."""


def copied(outputs: Arrays) -> Arrays:
    """Outputs of their own: some runtimes hand out one buffer again and again."""
    return {name: np.array(value) for name, value in outputs.items()}


def near(a: Array, b: Array) -> bool:
    """Whether two outputs are the same up to the order of a sum."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype.kind not in "fc":
        return bool(np.array_equal(a, b))
    finite = np.abs(a[np.isfinite(a)])
    return bool(np.allclose(a, b, rtol=SAME, atol=SAME * float(finite.max(initial=0.0)), equal_nan=True))
