"""What readers share: where reference data lie, tasks from arrays, and statistics of images."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError
from artifacts.types import Array
from zoo.metrics import Names, named
from zoo.splits import CHUNK, IN_MEMORY, ArraySplit, Column, Preprocessing, TaskData, bytes_of, inputs_of
from zoo.targets import settled

DATA_VARIABLE = "TIGHTSHIP_DATA"
IMAGENET_STATS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
LOOKED_AT = 256
"""Images that statistics are taken from where a split is too big for memory, a fixed draw."""

Part = tuple[Mapping[str, Array | Column], Array]
"""Inputs by name, and targets, of one split."""


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
    train: tuple[Array | Column, NDArray[np.integer]],
    test: tuple[Array | Column, NDArray[np.integer]],
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


def statistics(raw: Array | Column, scale: float) -> Preprocessing:
    """Preprocessing from the training images' own mean and standard deviation, per channel.

    Args:
        raw: (N, C, H, W), whole numbers. All of them count, or a fixed draw of 256 where they do not fit into memory.
        scale: see `Preprocessing`.
    """
    count, channels = raw.shape[:2]
    chosen = np.arange(count)
    if bytes_of(raw) > IN_MEMORY:
        chosen = np.sort(np.random.default_rng(0).permutation(count)[:LOOKED_AT])
    sums = np.zeros((2, channels), np.int64)
    step = max(1, CHUNK // 8 * count // max(1, bytes_of(raw)))
    for start in range(0, len(chosen), step):
        part = raw[chosen[start : start + step]].astype(np.int64)
        sums += part.sum(axis=(0, 2, 3)), np.square(part).sum(axis=(0, 2, 3))
    # sums of whole numbers are exact, so it does not matter how they are cut
    values = len(chosen) * int(np.prod(raw.shape[2:]))
    mean = sums[0] / values
    std = np.sqrt(np.maximum(sums[1] / values - mean**2, 0))
    std[std == 0] = 1 / scale  # a channel that never changes is only centered
    means, spreads = (tuple(round(float(v), 6) for v in one * scale) for one in (mean, std))
    return Preprocessing(scale, means, spreads)


def task_of(name: str, train: Part, test: Part, metric: Names, labels: tuple[str, ...] | None = None) -> TaskData:
    """A task from inputs and targets by split; uint8 images (N, C, H, W), where they are the one input, are scaled.

    Raises:
        DataError: the splits have other inputs, or targets that fit no metric; see `zoo.targets.settle`.
    """
    (train_inputs, _), (test_inputs, _) = train, test
    _alike(train_inputs, test_inputs)
    first, preprocessing = next(iter(train_inputs.values())), None
    if len(train_inputs) == 1 and first.dtype == np.uint8 and len(first.shape) == 4:
        preprocessing = statistics(first, 1 / 255)
    splits = [ArraySplit(inputs, targets, preprocessing) for inputs, targets in (train, test)]
    specs = inputs_of(splits[0].batch(np.arange(1))[0])
    if labels is None and all(one.classifies for one in named(metric)):
        labels = _numbered(train[1], test[1])
    return settled(TaskData(name, splits[0], splits[1], specs, labels, preprocessing), metric)


def _numbered(*targets: Array) -> tuple[str, ...] | None:
    """The names of classes that have only numbers; none where targets are no column of whole numbers."""
    if not all(np.issubdtype(one.dtype, np.integer) and one.ndim == 1 for one in targets):
        return None
    return tuple(map(str, range(int(max(one.max() for one in targets)) + 1)))


def _alike(train: Mapping[str, Array | Column], test: Mapping[str, Array | Column]) -> None:
    for name in dict.fromkeys([*train, *test]):
        if name not in train or name not in test:
            raise DataError(f"input {name!r} is in the {'test' if name in test else 'training'} split alone.")
        ours, theirs = train[name], test[name]
        if ours.shape[1:] != theirs.shape[1:] or ours.dtype != theirs.dtype:
            told = " and ".join(f"{one.dtype} (N, {', '.join(map(str, one.shape[1:]))})" for one in (ours, theirs))
            raise DataError(f"input {name!r} differs between training and test split: {told}; make them alike.")


def input_name(examples: Array | Column) -> str:
    """What the one input of data without names is called."""
    return "image" if examples.dtype == np.uint8 and len(examples.shape) == 4 else "input"
