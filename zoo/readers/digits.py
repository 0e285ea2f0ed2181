"""The handwritten digits that scikit-learn ships."""

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from artifacts.errors import DataError
from zoo.readers.common import image_task, statistics
from zoo.splits import TaskData


def digits_file() -> Path:
    """The file of handwritten digits that scikit-learn ships, found without importing scikit-learn."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise DataError("the digits data set ships with scikit-learn: pip install scikit-learn.")
    return Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"


def digits_files() -> list[Path]:
    """The one file of the digits."""
    return [digits_file()]


def read_digits() -> TaskData:
    """The 1,797 handwritten digits (8x8, 17 gray levels) of scikit-learn, split 70/30 by a fixed draw."""
    with gzip.open(digits_file(), "rt") as stream:
        table = np.loadtxt(stream, delimiter=",", dtype=np.int64)
    images, targets = table[:, :-1].reshape(-1, 1, 8, 8).astype(np.uint8), table[:, -1]
    order = np.random.default_rng(0).permutation(len(targets))
    cut = int(0.7 * len(order))
    train, test = order[:cut], order[cut:]
    preprocessing = statistics(images[train], 1 / 16)
    return image_task("digits", (images[train], targets[train]), (images[test], targets[test]), None, preprocessing)
