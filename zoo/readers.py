"""Read data sets from the formats that users have: IDX, CIFAR-10 binary batches, NPZ, image folders, scikit-learn's digits."""

import gzip
import importlib.util
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError
from artifacts.types import Array
from zoo.splits import ArraySplit, Preprocessing, TaskData, inputs_of
from zoo.targets import settled

DATA_VARIABLE = "TIGHTSHIP_DATA"
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGENET_STATS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def data_root() -> Path:
    """The folder that `TIGHTSHIP_DATA` names.

    Raises:
        DataError: the variable is not set.
    """
    value = os.environ.get(DATA_VARIABLE)
    if not value:
        raise DataError(f"this data set is looked for under ${DATA_VARIABLE}, which is not set; set it to its folder.")
    return Path(value)


def image_task(
    name: str,
    train: tuple[Array, NDArray[np.integer]],
    test: tuple[Array, NDArray[np.integer]],
    labels: tuple[str, ...] | None,
    preprocessing: Preprocessing,
) -> TaskData:
    """An image classification task from raw images (N, C, H, W) and int64 labels."""
    splits = [ArraySplit({"image": x}, y.astype(np.int64), preprocessing) for x, y in (train, test)]
    classes = int(max(train[1].max(), test[1].max())) + 1
    names = labels or tuple(str(i) for i in range(classes))
    if classes > len(names) or min(int(train[1].min()), int(test[1].min())) < 0:
        raise DataError(f"data set {name!r} has a label outside 0..{len(names) - 1}.")
    specs = inputs_of(splits[0].batch(np.arange(1))[0])
    return TaskData(name, splits[0], splits[1], specs, names, preprocessing)


def statistics(raw: NDArray[np.number], scale: float) -> Preprocessing:
    """Preprocessing from the training images' own mean and standard deviation, per channel."""
    axes = (0, 2, 3)
    mean = tuple(round(float(v), 6) for v in raw.mean(axis=axes, dtype=np.float64) * scale)
    std = tuple(round(float(v), 6) for v in raw.std(axis=axes, dtype=np.float64) * scale)
    return Preprocessing(scale, mean, std)


def digits_file() -> Path:
    """The file of handwritten digits that scikit-learn ships, found without importing scikit-learn."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise DataError("the digits data set ships with scikit-learn: pip install scikit-learn.")
    return Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"


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


def read_npz(path: Path, metric: str | tuple[str, ...] | None = None) -> TaskData:
    """An NPZ file with x_train, y_train, x_test, y_test; uint8 images (N, C, H, W) are scaled, floats kept."""
    try:
        with np.load(path, allow_pickle=False) as file:
            parts = {key: file[key] for key in ("x_train", "y_train", "x_test", "y_test")}
    except (OSError, KeyError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} must be an NPZ with x_train, y_train, x_test and y_test: {error}.") from None
    train, test = (parts["x_train"], parts["y_train"]), (parts["x_test"], parts["y_test"])
    if train[0].dtype == np.uint8 and train[0].ndim == 4:
        data = image_task(path.stem, train, test, None, statistics(train[0], 1 / 255))
        return settled(data, metric) if metric else data
    splits = [ArraySplit({"input": x}, y) for x, y in (train, test)]
    whole = np.issubdtype(train[1].dtype, np.integer) and train[1].ndim == 1
    labels = tuple(map(str, range(int(max(train[1].max(), test[1].max())) + 1))) if whole else None
    specs = inputs_of(splits[0].batch(np.arange(1))[0])
    return settled(TaskData(path.stem, splits[0], splits[1], specs, labels), metric)


def read_imagefolder(folder: Path) -> TaskData:
    """A folder with `train/CLASS/*` and `test/CLASS/*` images, all of one size, read whole as RGB."""
    labels = tuple(sorted(p.name for p in (folder / "train").glob("*") if p.is_dir()))
    if not labels:
        raise DataError(f"{folder} must hold train/CLASS/* and test/CLASS/* images.")

    def part(name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        from PIL import Image, UnidentifiedImageError

        images, targets = [], []
        for index, label in enumerate(labels):
            for path in sorted(p for p in (folder / name / label).glob("*") if p.is_file()):
                try:
                    images.append(np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1))
                except (OSError, UnidentifiedImageError) as error:
                    raise DataError(f"{path} is not a readable image: {error}.") from None
                targets.append(index)
        sizes = {image.shape for image in images}
        if len(sizes) != 1:
            raise DataError(f"the images of {folder / name} must have one size; found {sorted(sizes)[:3]}.")
        return np.stack(images), np.asarray(targets)

    train, test = part("train"), part("test")
    return image_task(folder.name, train, test, labels, statistics(train[0], 1 / 255))
