"""The list of reference models and data sets; nothing heavy is imported until one is asked for."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from artifacts.errors import RequestError, nearest

if TYPE_CHECKING:
    from torch import nn

    from zoo.splits import TaskData

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Entry(Generic[T_co]):
    """One reference model or data set."""

    name: str
    family: str
    entry_point: str
    """`module:callable`: a builder of the network, or a reader of the data."""
    files: str | None
    """Of a data set: the function that names its files, for the fingerprint."""
    about: str

    def load(self) -> Callable[..., T_co]:
        """The builder of the network, or the reader of the data."""
        module, _, name = self.entry_point.partition(":")
        made: Callable[..., T_co] = getattr(importlib.import_module(module), name)
        return made

    def named_files(self) -> list[Path]:
        """The files of a data set, whether they are there or not."""
        module, _, name = (self.files or "").partition(":")
        named: Callable[[], list[Path]] = getattr(importlib.import_module(module), name)
        return named()


_MODELS: tuple["Entry[nn.Module]", ...] = (
    Entry("resnet", "model", "zoo.resnet:resnet", None, "CIFAR-style ResNet; depth, width, shortcut A or B"),
    Entry("mobilenet", "model", "zoo.mobilenet:mobilenet", None, "small MobileNetV2; width, activation, channel_spread"),
)
MODELS = {e.name: e for e in _MODELS}

_DATA: tuple["Entry[TaskData]", ...] = (
    Entry(
        "digits",
        "data",
        "zoo.readers:read_digits",
        "zoo.readers:digits_files",
        "1,797 handwritten digits, 8x8, embedded",
    ),
    Entry(
        "fashion-mnist",
        "data",
        "zoo.readers:read_fashion_mnist",
        "zoo.readers:fashion_files",
        "70,000 gray 28x28 images, IDX files under $TIGHTSHIP_DATA/fashion_mnist",
    ),
    Entry(
        "cifar10",
        "data",
        "zoo.readers:read_cifar10",
        "zoo.readers:cifar10_files",
        "60,000 color 32x32 images, binary batches under $TIGHTSHIP_DATA/cifar-10-batches-bin",
    ),
)
DATA = {e.name: e for e in _DATA}


def find(table: dict[str, Entry[T_co]], kind: str, name: str) -> Entry[T_co]:
    """The entry of this name.

    Raises:
        RequestError: there is none; the message names the nearest.
    """
    if name not in table:
        raise RequestError(f"unknown zoo {kind} {name!r}; {nearest(name, table)}.")
    return table[name]
