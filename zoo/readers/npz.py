"""One NPZ file with both splits, read whole."""

import zipfile
from pathlib import Path

import numpy as np

from artifacts.errors import DataError
from zoo.metrics import Names
from zoo.readers.common import input_name, task_of
from zoo.splits import TaskData

KEYS = ("x_train", "y_train", "x_test", "y_test")


def read_npz(path: Path, metric: Names = None) -> TaskData:
    """An NPZ file with x_train, y_train, x_test, y_test; uint8 images (N, C, H, W) are scaled, floats kept.

    Raises:
        DataError: it is no such file, or does not fit into memory.
    """
    try:
        _fits(path)
        with np.load(path, allow_pickle=False) as file:
            parts = {key: file[key] for key in KEYS}
    except (OSError, KeyError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} must be an NPZ with x_train, y_train, x_test and y_test: {error}.") from None
    name = input_name(parts["x_train"])
    train, test = (({name: parts[f"x_{part}"]}, parts[f"y_{part}"]) for part in ("train", "test"))
    return task_of(path.stem, train, test, metric)


def _fits(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    import psutil  # here, so that recipes are read without it

    free = psutil.virtual_memory().available
    if size > free:
        raise DataError(
            f"{path} holds {size / 1e9:.1f} GB and is read whole, and {free / 1e9:.1f} GB of memory are free; write its arrays "
            "as x_train.npy, y_train.npy, x_test.npy and y_test.npy into a folder, which `npy` reads batch by batch."
        )
