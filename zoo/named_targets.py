"""Targets of several outputs: arrays by name, held as one structured array (N,), so that a split gives one array of targets.

A field is called as the output that it belongs to. `NAME_mask` beside it says which of its positions count.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError
from artifacts.types import Array

MASK = "_mask"
"""What the name of a mask ends in."""


def together(targets: Mapping[str, Array]) -> Array:
    """Arrays (N, ...) by name as one structured array (N,); `together(fields(x))` is `x`.

    Raises:
        DataError: there are none, or they differ in their number of examples.
    """
    arrays = {str(name): np.asarray(value) for name, value in targets.items()}
    counts = {name: len(value) if value.ndim else None for name, value in arrays.items()}
    count = next(iter(counts.values()), None)
    if count is None or set(counts.values()) != {count}:
        told = ", ".join(f"{name} {value.shape}" for name, value in arrays.items()) or "none"
        raise DataError(f"targets by name must have the same number of examples, along their first axis; got {told}.")
    kinds = [(name, value.dtype, value.shape[1:]) for name, value in arrays.items()]
    made = np.empty(count, np.dtype(kinds))
    for name, value in arrays.items():
        made[name] = value
    return made


def fields(targets: Array) -> dict[str, Array]:
    """The arrays by name of a structured array (N,), masks included; empty of targets without names."""
    named: Any = targets
    return {name: np.ascontiguousarray(named[name]) for name in targets.dtype.names or ()}


def base(name: str) -> str:
    """The target that a mask belongs to; of any other name the name itself."""
    return name.removesuffix(MASK)


def mask_of(named: Mapping[str, Array], name: str) -> NDArray[np.bool_] | None:
    """Which positions of a target count; none where all do."""
    found = named.get(f"{name}{MASK}")
    return None if found is None else np.asarray(found, np.bool_)
