"""A folder of NPY files, mapped into memory: what a batch needs is read, and nothing else."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artifacts.errors import DataError
from artifacts.types import Array
from zoo.metrics import Names
from zoo.readers.common import Part, input_name, task_of
from zoo.readers.source import Source
from zoo.splits import TaskData


@dataclass(frozen=True)
class NpyFolder(Source):
    """`x_train.npy`, `y_train.npy`, `x_test.npy` and `y_test.npy`; of several inputs `x_train_NAME.npy`, `x_test_NAME.npy`."""

    folder: Path

    def files(self) -> list[Path]:
        """See `Source`."""
        return sorted(p for p in self.folder.glob("*.npy") if re.match(r"[xy]_(train|test)[._]", p.name))

    def read(self, metric: Names) -> TaskData:
        """See `Source`."""
        return task_of(self.folder.name, self._part("train"), self._part("test"), metric)

    def _part(self, part: str) -> Part:
        targets = mapped(self.folder / f"y_{part}.npy")
        plain, prefix = self.folder / f"x_{part}.npy", f"x_{part}_"
        named = {p.stem.removeprefix(prefix): p for p in sorted(self.folder.glob(f"{prefix}*.npy"))}
        if named and plain.exists():
            raise DataError(f"{self.folder} has both {plain.name} and {next(iter(named.values())).name}; keep one of them.")
        if named:
            return self._shaped({name: mapped(path) for name, path in named.items()}, targets, part)
        inputs = mapped(plain)
        return self._shaped({input_name(inputs): inputs}, targets, part)

    def _shaped(self, inputs: Mapping[str, Array], targets: Array, part: str) -> Part:
        lengths = {name: array.shape[:1] for name, array in {**inputs, f"y_{part}": targets}.items()}
        if len(set(lengths.values())) > 1 or not all(lengths.values()):
            told = ", ".join(f"{name} {array.shape}" for name, array in {**inputs, f"y_{part}": targets}.items())
            raise DataError(
                f"the arrays of {self.folder} must have the same number of examples along their first axis: {told}."
            )
        return inputs, targets


def mapped(path: Path) -> Array:
    """An NPY file as an array that is read from disk where it is indexed.

    Raises:
        DataError: the file is missing, is no NPY, is cut short, or holds pickled objects.
    """
    try:
        found: object = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, TypeError) as error:
        raise DataError(f"cannot read {path}: {str(error).splitlines()[0].rstrip('.')}.") from None
    if not isinstance(found, np.ndarray):
        found.close()  # type: ignore[attr-defined]
        raise DataError(f"{path} is an NPZ by another name; give it as `npz`, or write each array into a file of its own.")
    return found
