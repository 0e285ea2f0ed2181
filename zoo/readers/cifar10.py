"""The official binary batches of CIFAR-10."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError
from zoo.readers.common import IMAGENET_STATS, data_root, image_task
from zoo.splits import Preprocessing, TaskData

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def cifar10_files() -> list[Path]:
    """The six binary batches of CIFAR-10 under `$TIGHTSHIP_DATA/cifar-10-batches-bin`."""
    folder = data_root() / "cifar-10-batches-bin"
    files = [folder / f"data_batch_{i}.bin" for i in range(1, 6)] + [folder / "test_batch.bin"]
    missing = [p for p in files if not p.is_file()]
    if missing:
        raise DataError(f"{missing[0]} is missing; CIFAR-10 is read from its official binary batches.")
    return files


def read_cifar10() -> TaskData:
    """CIFAR-10 from its official binary batches (one label byte, then 3,072 bytes of R, G, B planes a record)."""

    def records(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        raw = np.fromfile(path, np.uint8)
        if raw.size == 0 or raw.size % 3073:
            raise DataError(f"{path} is not a CIFAR-10 binary batch: {raw.size} bytes is no multiple of 3,073.")
        table = raw.reshape(-1, 3073)
        return table[:, 1:].reshape(-1, 3, 32, 32), table[:, 0]

    parts = [records(path) for path in cifar10_files()]
    train = np.concatenate([x for x, _ in parts[:-1]]), np.concatenate([y for _, y in parts[:-1]])
    return image_task("cifar10", train, parts[-1], CIFAR10, Preprocessing(1 / 255, *IMAGENET_STATS))
