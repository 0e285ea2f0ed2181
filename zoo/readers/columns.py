"""Inputs whose examples are files of their own, decoded as a batch asks for them, and how such folders are laid out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError
from artifacts.files import sha256_file, sha256_json
from artifacts.types import Array

PARTS = ("train", "test")


@dataclass(frozen=True)
class FileColumn:
    """One example a file. In memory are the files' names alone."""

    root: Path
    names: tuple[str, ...]
    """POSIX paths below `root`."""
    decode: Callable[[Path], Array]
    one: tuple[int, ...]
    """The shape of every example."""
    dtype: np.dtype[np.generic]

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, ...)."""
        return (len(self.names), *self.one)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Array:
        """The examples of these rows, in their order.

        Raises:
            DataError: a file cannot be read, or is of another shape than the first.
        """
        chosen = np.arange(len(self.names))[rows]
        found = np.empty((len(chosen), *self.one), self.dtype)
        for place, index in enumerate(chosen):
            path = self.root / self.names[index]
            example = self.decode(path)
            if example.shape != self.one:
                raise DataError(
                    f"all examples of {self.root} must have one size: {path} is {example.shape}, and the first {self.one}."
                )
            found[place] = example
        return found

    def look_at(self, most: int) -> None:
        """Decode a fixed draw of the files, one at a time.

        Raises:
            DataError: one of them cannot be read, or is of another shape than the first.
        """
        for index in np.sort(np.random.default_rng(0).permutation(len(self.names))[:most]):
            self[np.asarray([index])]

    def digest(self) -> str:
        """See `zoo.splits.Column`."""
        return sha256_json([[name, sha256_file(self.root / name)] for name in self.names])


@dataclass(frozen=True)
class ClassFolders:
    """A folder with `train/CLASS/*` and `test/CLASS/*`, one file an example."""

    labels: tuple[str, ...]
    names: Mapping[str, tuple[str, ...]]
    """By part, the files in the order of the classes and of their names, below the folder."""
    targets: Mapping[str, NDArray[np.int64]]


def class_folders(folder: Path, what: str, suffix: str = "") -> ClassFolders:
    """The files of a folder with `train/CLASS/*` and `test/CLASS/*`; what begins with a dot is left out.

    Args:
        folder: with both parts.
        what: the files are, in a message: `images`.
        suffix: that they end in, in any case; others are left out.

    Raises:
        DataError: there are no classes or no files, or the test split has a class that the training split lacks.
    """
    found = {part: sorted(_visible(folder / part, folders=True)) for part in PARTS}
    labels = tuple(found["train"])
    if not labels:
        raise DataError(f"{folder} must hold train/CLASS/* and test/CLASS/* {what}.")
    unknown = [label for label in found["test"] if label not in labels]
    if unknown:
        raise DataError(f"{folder / 'test'} has the class {unknown[0]!r}, which {folder / 'train'} lacks.")
    names, targets = {}, {}
    for part in PARTS:
        files = {label: sorted(_visible(folder / part / label, suffix=suffix)) for label in labels}
        names[part] = tuple(f"{part}/{label}/{name}" for label in labels for name in files[label])
        targets[part] = np.repeat(np.arange(len(labels)), [len(files[label]) for label in labels])
        if not names[part]:
            raise DataError(f"{folder / part} holds no {what}; they are looked for in {part}/CLASS/*{suffix}.")
    return ClassFolders(labels, names, targets)


def _visible(folder: Path, folders: bool = False, suffix: str = "") -> list[str]:
    kind = Path.is_dir if folders else Path.is_file
    entries = folder.iterdir() if folder.is_dir() else ()
    return [p.name for p in entries if not p.name.startswith(".") and p.name.lower().endswith(suffix) and kind(p)]
