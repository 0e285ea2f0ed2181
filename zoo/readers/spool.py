"""Examples that come batch by batch and are counted at the end: in memory while they fit, then in files without a name."""

import shutil
import tempfile
from collections.abc import Mapping
from typing import IO

import numpy as np

from artifacts.errors import DataError
from artifacts.types import Array
from zoo.splits import IN_MEMORY

LEAST_FREE = 2**30
"""Bytes of disk that a spool leaves free."""


class Spool:
    """Arrays by name that grow along their first axis.

    Its files lie in the folder for temporary files (`TMPDIR`). They have no name there, so the system frees them when the
    process ends, however it ends.
    """

    def __init__(self, whose: str) -> None:
        self.whose, self.columns, self.count = whose, dict[str, _Growing](), 0

    def add(self, batch: Mapping[str, Array]) -> None:
        """Append a batch, each array (N, ...).

        Raises:
            DataError: it has other names, shapes or types than the first one, or the disk is full.
        """
        self.columns = self.columns or {name: _Growing(array) for name, array in batch.items()}
        if set(batch) != set(self.columns):
            raise DataError(f"the examples of {self.whose} have inputs {sorted(batch)}, and the first {sorted(self.columns)}.")
        for name, array in batch.items():
            try:
                self.columns[name].add(array)
            except ValueError as error:
                raise DataError(f"example {self.count:,} of {self.whose} or one soon after: {name} {error}.") from None
        self.count += len(next(iter(batch.values())))
        if sum(column.bytes for column in self.columns.values()) > IN_MEMORY:
            self._spill()

    def arrays(self) -> dict[str, Array]:
        """All of it, (N, ...) by name; what lies in files is mapped into memory."""
        return {name: column.array() for name, column in self.columns.items()}

    def _spill(self) -> None:
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
        if free < LEAST_FREE:
            raise DataError(
                f"{self.whose} has given {self.count:,} examples, and {folder} has {free / 1e9:.1f} GB free; set TMPDIR to a "
                "folder with more, or end the data with a `length`."
            )
        for column in self.columns.values():
            column.spill()


class _Growing:
    """One array. Text stays in memory, because its longest is known last."""

    def __init__(self, first: Array) -> None:
        self.dtype, self.one, self.count = first.dtype, first.shape[1:], 0
        self.parts: list[Array] = []
        self.stream: IO[bytes] | None = None

    @property
    def bytes(self) -> int:
        """What waits in memory and could be in a file."""
        return 0 if self.dtype.kind in "US" else sum(part.nbytes for part in self.parts)

    def add(self, part: Array) -> None:
        if part.shape[1:] != self.one:
            raise ValueError(f"has shape {part.shape[1:]}, and the first example {self.one}")
        if self.dtype.kind not in "US" and part.dtype != self.dtype:
            if not np.can_cast(part.dtype, self.dtype, "same_kind"):
                raise ValueError(f"is of type {part.dtype}, and of the first example {self.dtype}")
            part = part.astype(self.dtype)
        self.parts.append(part)
        self.count += len(part)

    def spill(self) -> None:
        if self.dtype.kind in "US":
            return
        # the map that is made of it outlives it
        self.stream = self.stream or tempfile.TemporaryFile()  # noqa: SIM115
        for part in self.parts:
            self.stream.write(np.ascontiguousarray(part).tobytes())
        self.parts = []

    def array(self) -> Array:
        if self.stream is None:
            return np.concatenate(self.parts)
        self.spill()
        self.stream.flush()
        return np.memmap(self.stream, self.dtype, "r", shape=(self.count, *self.one))
