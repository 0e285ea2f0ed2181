"""The samples that LoadGen picks from: examples side by side, cut apart or stacked into one call."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import ModelError
from artifacts.types import Arrays


class Samples:
    """Arrays cut into samples of `per` examples each; what is not one row per example goes into every call as it is."""

    def __init__(self, feeds: Arrays, count: int, per: int = 1) -> None:
        self.count, self.per, self.whole = count, per, feeds
        total = count * per
        self.rows = {name for name, v in feeds.items() if v.ndim and len(v) == total}
        self.single = [self._cut(i) for i in range(count)]

    def _cut(self, index: int) -> Arrays:
        part = slice(index * self.per, (index + 1) * self.per)
        return {n: np.ascontiguousarray(v[part]) if n in self.rows else v for n, v in self.whole.items()}

    def feeds(self, indices: Sequence[int]) -> Arrays:
        """The inputs of one call on these samples."""
        if len(indices) == 1:
            return self.single[indices[0]]
        picks = np.asarray(indices)
        if self.per > 1:
            picks = (picks[:, None] * self.per + np.arange(self.per)).ravel()
        return {n: v[picks] if n in self.rows else v for n, v in self.whole.items()}


def packed(outputs: Arrays, count: int) -> NDArray[np.uint8]:
    """The bytes of the outputs of one call, a row per sample: all of its outputs one after the other.

    Args:
        outputs: of one call.
        count: samples that were in the call.

    Raises:
        ModelError: an output does not hold the same number of rows for each sample.
    """
    for name, value in outputs.items():
        if not np.ndim(value) or not len(value) or len(value) % count:
            raise ModelError(f"the output {name!r} is not one row per sample, so calls cannot be shared; give --batch 1.")
    rows = [np.ascontiguousarray(value).reshape(count, -1).view(np.uint8) for value in outputs.values()]
    return rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1)


def address(array: NDArray[np.uint8]) -> int:
    """Where the first byte of a contiguous array is."""
    place: int = array.__array_interface__["data"][0]
    return place


def like(data: bytes, outputs: Arrays) -> Arrays | None:
    """A sample's bytes, read back in the form of its `outputs` in a plain run; none if the sizes differ."""
    arrays = {name: np.asarray(value) for name, value in outputs.items()}
    if sum(a.nbytes for a in arrays.values()) != len(data):
        return None
    made, at = {}, 0
    for name, array in arrays.items():
        made[name] = np.frombuffer(data, array.dtype, array.size, at).reshape(array.shape)
        at += array.nbytes
    return made
