"""Tables: a CSV or TSV file for each split, with columns of numbers, one of text, or both."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError
from artifacts.json import JsonValue
from artifacts.types import Arrays
from zoo.metrics import Names, named
from zoo.readers.common import Part, task_of
from zoo.readers.source import Source
from zoo.readers.spool import Spool
from zoo.readers.tables.columns import Moments, Targets
from zoo.readers.tables.rows import Cell, Table, open_table
from zoo.readers.tables.words import FIRST, PADDING, UNKNOWN, Bytes, Tokens, Words, padded, words_of
from zoo.splits import TaskData

AT_ONCE = 1024
"""Rows that are put together at a time."""

TARGET = "target"


@dataclass(frozen=True)
class CsvFiles(Source):
    """Where tables lie and how they are read; the recipe's keys under `csv` say what each field means."""

    train: Path
    test: Path
    target: str
    columns: tuple[str, ...] | None = None
    text: str | None = None
    separator: str | None = None
    header: bool = True
    quotes: bool = True
    standardize: bool = True
    tokens: str = "words"
    vocabulary: int = 20_000
    length: int = 64
    lengths: bool = False

    def files(self) -> list[Path]:
        """See `Source`."""
        return [self.train, self.test]

    def read(self, metric: Names) -> TaskData:
        """See `Source`. Each file is gone through row by row, the training file twice: once to learn what its columns hold."""
        train, test = (open_table(path, self.separator, self.header, self.quotes) for path in (self.train, self.test))
        learned = self._learn(train, self._numbers(train))
        if learned.targets.labels and any(one.targets == "values" for one in named(metric)):
            raise DataError(
                f"{self.train}: the target column {self.target!r} holds text, such as {learned.targets.labels[0]!r}, and "
                f"metric {metric!r} is one of values."
            )
        name, labels = self.train.stem, learned.targets.labels
        data = task_of(name, self._part(train, learned), self._part(test, learned), metric, labels)
        return replace(data, encoding=self._encoding(learned))

    def _encoding(self, learned: "_Learned") -> dict[str, JsonValue]:
        made: dict[str, JsonValue] = {}
        if learned.numbers:
            moments = {"mean": learned.moments.mean.tolist(), "std": learned.moments.std.tolist()} if self.standardize else {}
            made["input"] = {"columns": list(learned.numbers), **moments}
        if self.text is not None:
            numbers = {"padding": PADDING, "unknown": UNKNOWN, "first": FIRST}
            made["tokens"] = {"column": self.text, "length": self.length, **numbers, **learned.tokens.encoding()}
        return made

    def _numbers(self, table: Table) -> tuple[str, ...]:
        """The columns that become the input `input`: those that are named; else all but the target, and with a text none."""
        if self.columns is not None:
            return self.columns
        return () if self.text is not None else tuple(name for name in table.names if name != self.target)

    def _learn(self, table: Table, numbers: tuple[str, ...]) -> "_Learned":
        if not numbers and self.text is None:
            raise DataError(f"{table.path} has no column but the target {self.target!r}; there is nothing to learn from.")
        found = _Learned(numbers, Targets(), Moments(len(numbers)))
        words: Counter[str] = Counter()
        for rows in self._rows(table, numbers):
            for cell in rows.targets:
                found.targets.look(cell)
            if numbers and self.standardize:
                found.moments.add(rows.numbers)
            if self.tokens == "words":
                words.update(word for text in rows.texts for word in words_of(text))
        if self.tokens == "words":
            found.tokens = Words.counted(words, self.vocabulary)
        return found

    def _part(self, table: Table, learned: "_Learned") -> Part:
        spool = Spool(str(table.path))
        for rows in self._rows(table, learned.numbers):
            made: Arrays = {TARGET: learned.targets.of(rows.targets)}
            if rows.numbers.shape[1]:
                plain = rows.numbers.astype(np.float32)
                made["input"] = learned.moments.standardize(rows.numbers) if self.standardize else plain
            if self.text is not None:
                made["tokens"], lengths = padded(map(learned.tokens.of, rows.texts), self.length)
                made |= {"lengths": lengths} if self.lengths else {}
            spool.add(made)
        if not spool.count:
            raise DataError(f"{table.path} has no rows.")
        arrays = spool.arrays()
        targets = arrays.pop(TARGET)
        return arrays, targets

    def _rows(self, table: Table, names: tuple[str, ...]) -> Iterator["_Rows"]:
        """The rows of a table, some at a time, with the columns of numbers that have these names."""
        target, numbers = table.place(self.target), [(name, table.place(name)) for name in names]
        text = None if self.text is None else table.place(self.text)
        found = table.rows()
        while some := list(islice(found, AT_ONCE)):
            values = [[Cell(cells[i], table.path, line, name).number() for name, i in numbers] for line, cells in some]
            yield _Rows(
                [Cell(cells[target], table.path, line, self.target) for line, cells in some],
                np.asarray(values, np.float64).reshape(len(some), len(numbers)),
                [] if text is None else [cells[text] for _, cells in some],
            )


@dataclass
class _Learned:
    """What the training file says."""

    numbers: tuple[str, ...]
    targets: Targets
    moments: Moments
    tokens: Tokens = field(default_factory=Bytes)


@dataclass(frozen=True)
class _Rows:
    """Some rows of a table."""

    targets: list[Cell]
    numbers: NDArray[np.float64]
    """(N, columns)."""
    texts: list[str]
