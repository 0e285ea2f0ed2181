"""Tensors by name: to and from NPZ files, never pickle; and those of several calls put together."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from artifacts.errors import DataError
from artifacts.specs import TensorSpec
from artifacts.types import Array, Arrays


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write an NPZ file; the same arrays give the same bytes."""
    np.savez(path, allow_pickle=False, **arrays)


def load_arrays(path: Path) -> Arrays:
    """Read an NPZ file, contiguous.

    Raises:
        DataError: the file is missing, is no NPZ, or holds pickled objects.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            # asarray keeps a scalar a scalar, which ascontiguousarray would not
            return {name: np.asarray(file[name], order="C") for name in file.files}
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"cannot read arrays from {path}: {error}.") from None


def joined(parts: Sequence[Arrays], specs: Iterable[TensorSpec]) -> Arrays:
    """The outputs of several calls as those of one: put together along the axis of their examples."""
    axes = {spec.name: spec.batch_axis for spec in specs}
    return {name: _joined([part[name] for part in parts], axes.get(name, 0)) for name in parts[0]}


def _joined(parts: Sequence[Array], axis: int | None) -> Array:
    return parts[0] if axis is None or len(parts) == 1 else np.concatenate(parts, axis)


def examples_first(outputs: Arrays, specs: Iterable[TensorSpec]) -> Arrays:
    """Outputs with their examples along the first axis, (N, ...); one that is the same for all comes as a single example."""
    axes = {spec.name: spec.batch_axis for spec in specs}
    return {name: _first(value, axes.get(name, 0)) for name, value in outputs.items()}


def _first(value: Array, axis: int | None) -> Array:
    return value[None] if axis is None else np.moveaxis(value, axis, 0) if axis else value
