"""From a raw picture to a model's input, and from its output to labels. NumPy alone: bundles ship this file as it is."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def prepare(raw: NDArray[np.generic], scale: float, mean: Sequence[float], std: Sequence[float]) -> NDArray[np.float32]:
    """Model input `(raw * scale - mean) / std`, per channel.

    Args:
        raw: pictures (N, C, H, W) of any dtype.
        scale: brings raw values into the range that `mean` and `std` are in.
        mean: one per channel.
        std: one per channel.

    Returns:
        The same shape in float32.
    """
    shape = (1, -1, 1, 1)
    means, spreads = (np.asarray(values, np.float32).reshape(shape) for values in (mean, std))
    made: NDArray[np.float32] = (raw.astype(np.float32) * np.float32(scale) - means) / spreads
    return made


def likeliest(scores: NDArray[np.generic], count: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The classes with the highest scores, the highest first, and their shares by softmax.

    Args:
        scores: logits (N, classes).
        count: how many classes; fewer where there are fewer.

    Returns:
        Indices and shares, both (N, count).
    """
    wide = scores.astype(np.float64)
    shares = np.exp(wide - wide.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    first = np.argsort(-wide, axis=1)[:, :count]
    return first, np.take_along_axis(shares, first, axis=1)
