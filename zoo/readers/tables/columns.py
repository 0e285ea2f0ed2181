"""What the columns of a table become, learned from its training rows: standardized numbers, and targets."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError
from artifacts.types import Array
from zoo.readers.tables.rows import Cell

MOST_CLASSES = 100_000
"""Different texts that a column of targets may hold."""


@dataclass
class Moments:
    """Mean and standard deviation of columns, batch by batch (Chan, Golub and LeVeque 1983, pairwise updates)."""

    width: int
    count: int = 0
    mean: NDArray[np.float64] = field(init=False)
    squares: NDArray[np.float64] = field(init=False)
    """The sums of squared distances from the mean, (width,)."""

    def __post_init__(self) -> None:
        self.mean, self.squares = np.zeros(self.width), np.zeros(self.width)

    def add(self, rows: NDArray[np.float64]) -> None:
        """Take rows (N, width) into account."""
        mean, total = rows.mean(axis=0), self.count + len(rows)
        apart = mean - self.mean
        self.squares += np.square(rows - mean).sum(axis=0) + apart**2 * self.count * len(rows) / total
        self.mean += apart * len(rows) / total
        self.count = total

    def standardize(self, rows: NDArray[np.float64]) -> NDArray[np.float32]:
        """Rows (N, width) less the mean, in standard deviations; a column that never changes is only centered."""
        return ((rows - self.mean) / self.std).astype(np.float32)

    @property
    def std(self) -> NDArray[np.float64]:
        """What rows are divided by, (width,)."""
        std = np.sqrt(self.squares / max(1, self.count))
        return np.where(std > 0, std, 1)


@dataclass
class Targets:
    """What the column of targets holds: class numbers, values, or the names of classes."""

    whole: bool = True
    real: bool = True
    names: set[str] = field(default_factory=set)

    def look(self, cell: Cell) -> None:
        """Take a training row's target into account.

        Raises:
            DataError: it is empty, or is text of a kind that names no classes.
        """
        text = cell.text.strip()
        if not text:
            raise DataError(f"{cell.place}, is empty, and it is the target; fill it or drop the row.")
        if len(self.names) <= MOST_CLASSES:
            self.names.add(text)
        self.whole = self.whole and _is_whole(text)
        self.real = self.real and (self.whole or _is_real(text))
        if not self.real and len(self.names) > MOST_CLASSES:
            raise DataError(f"{cell.place}, holds {text!r}, and over {MOST_CLASSES:,} other values: these are no classes.")

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The names of the classes, sorted; none where targets are numbers."""
        return None if self.real else tuple(sorted(self.names))

    def of(self, cells: Sequence[Cell]) -> Array:
        """Targets (N,): int64 class numbers, or float32 values.

        Raises:
            DataError: one is of another kind than those of the training split, or a class that it lacks.
        """
        if self.whole:
            return np.asarray([self._whole(cell) for cell in cells], np.int64)
        if self.real:
            return np.asarray([cell.number() for cell in cells], np.float32)
        numbers = {name: index for index, name in enumerate(sorted(self.names))}
        for cell in cells:
            if cell.text.strip() not in numbers:
                raise DataError(f"{cell.place}, holds the class {cell.text.strip()!r}, which no training row has.")
        return np.asarray([numbers[cell.text.strip()] for cell in cells], np.int64)

    def _whole(self, cell: Cell) -> int:
        if not _is_whole(cell.text.strip()):
            raise DataError(f"{cell.place}, holds {cell.text!r}, and the targets of the training split are whole numbers.")
        return int(cell.text)


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]{1,18}", text) is not None


def _is_real(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text))) and "_" not in text
    except ValueError:
        return False
