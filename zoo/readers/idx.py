"""IDX files: MNIST and its kin."""

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError
from zoo.readers.common import data_root, image_task, statistics
from zoo.splits import TaskData

FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def read_idx_file(path: Path) -> NDArray[np.uint8]:
    """One IDX file of unsigned bytes, plain or gzipped (LeCun's format: magic 0x0000_08_rank, sizes, bytes).

    Raises:
        DataError: the file is missing, is no IDX file of bytes, or its length does not match its header.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read IDX file {path}: {error}.") from None
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise DataError(f"{path} is not an IDX file of unsigned bytes.")
    rank = raw[3]
    if len(raw) < 4 + 4 * rank:
        raise DataError(f"{path} is cut short: its header announces {rank} sizes.")
    shape = np.frombuffer(raw, ">u4", rank, 4)
    if len(raw) != 4 + 4 * rank + int(np.prod(shape, dtype=np.int64)):
        raise DataError(f"{path} is cut short or too long: its header says shape {tuple(map(int, shape))}.")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(tuple(map(int, shape)))


def read_idx(folder: Path, name: str = "idx", labels: tuple[str, ...] | None = None) -> TaskData:
    """The four files of MNIST and its kin: `{train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]` in one folder."""

    def one(stem: str) -> NDArray[np.uint8]:
        found = [p for p in (folder / stem, folder / f"{stem}.gz") if p.is_file()]
        if not found:
            raise DataError(f"no {stem} or {stem}.gz in {folder}.")
        return read_idx_file(found[0])

    train = one("train-images-idx3-ubyte")[:, None], one("train-labels-idx1-ubyte")
    test = one("t10k-images-idx3-ubyte")[:, None], one("t10k-labels-idx1-ubyte")
    return image_task(name, train, test, labels, statistics(train[0], 1 / 255))


def read_fashion_mnist() -> TaskData:
    """Fashion-MNIST (60,000 + 10,000 gray 28x28 images) from IDX files in `$TIGHTSHIP_DATA/fashion_mnist`."""
    return read_idx(data_root() / "fashion_mnist", "fashion-mnist", FASHION)


def fashion_files() -> list[Path]:
    """The IDX files of Fashion-MNIST."""
    return sorted((data_root() / "fashion_mnist").glob("*-ubyte*"))
