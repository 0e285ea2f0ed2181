"""Tensors by name, to and from NPZ files; never pickle."""

from pathlib import Path

import numpy as np

from artifacts.errors import DataError
from artifacts.types import Arrays


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
