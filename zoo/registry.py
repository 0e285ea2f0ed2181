"""The list of reference models and data sets; nothing heavy is imported until one is asked for."""

import importlib
from dataclasses import dataclass
from typing import Any

from artifacts.errors import RequestError, nearest


@dataclass(frozen=True)
class Entry:
    """One reference model or data set."""

    name: str
    family: str
    entry_point: str
    """`module:callable`: a builder of the network, or a reader of the data."""
    files: str | None
    """Of a data set: the function that names its files, for the fingerprint."""
    about: str

    def load(self, attribute: str | None = None) -> Any:
        """The callable at `where` (or at `attribute`)."""
        module, _, name = (attribute or self.entry_point).partition(":")
        return getattr(importlib.import_module(module), name)


MODELS = {
    e.name: e
    for e in (
        Entry("resnet", "model", "zoo.resnet:resnet", None, "CIFAR-style ResNet; depth, width, shortcut A or B"),
        Entry("mobilenet", "model", "zoo.mobilenet:mobilenet", None, "small MobileNetV2; width, activation, channel_spread"),
    )
}

DATA = {
    e.name: e
    for e in (
        Entry(
            "digits",
            "data",
            "zoo.readers:read_digits",
            "zoo.data:digits_files",
            "1,797 handwritten digits, 8x8, embedded",
        ),
        Entry(
            "fashion-mnist",
            "data",
            "zoo.readers:read_fashion_mnist",
            "zoo.data:fashion_files",
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
}


def find(table: dict[str, Entry], kind: str, name: str) -> Entry:
    """The entry of this name.

    Raises:
        RequestError: there is none; the message names the nearest.
    """
    if name not in table:
        raise RequestError(f"unknown zoo {kind} {name!r}; {nearest(name, table)}.")
    return table[name]
