"""The rows of a CSV or TSV file, one at a time, each with the line that it begins on."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artifacts.errors import DataError, nearest

TABS = (".tsv", ".tab")
SEPARATORS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Cell:
    """One value of a table, with where it stands."""

    text: str
    path: Path
    line: int
    column: str

    @property
    def place(self) -> str:
        """Where it stands, as a message begins."""
        return f"{self.path} line {self.line}, column {self.column!r}"

    def number(self) -> float:
        """Its value.

        Raises:
            DataError: it is empty, text, or not finite.
        """
        if not self.text.strip():
            raise DataError(f"{self.place}, is empty; fill it, drop the row, or name other `columns`.")
        try:
            value = float(self.text)
        except ValueError:
            value = float("nan")
        # 1_000 is a number to Python alone
        if not np.isfinite(value) or "_" in self.text:
            raise DataError(f"{self.place}, holds {self.text!r}, which is no number; name the `columns` that hold numbers.")
        return value


@dataclass(frozen=True)
class Table:
    """A file with its columns."""

    path: Path
    separator: str
    quotes: bool
    header: bool
    names: tuple[str, ...]

    def place(self, column: str) -> int:
        """Which column this is, from 0.

        Raises:
            DataError: there is none of this name, or there are two.
        """
        if self.names.count(column) != 1:
            if column in self.names:
                raise DataError(f"{self.path} has two columns {column!r}; rename one.")
            numbered = "" if self.header else "; columns without a header are called 0, 1, ..."
            raise DataError(f"{self.path} has no column {column!r}; {nearest(column, self.names)}{numbered}.")
        return self.names.index(column)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """The line that each row begins on, and its values as text; lines with nothing on them are left out.

        Raises:
            DataError: a row has another number of values than there are columns, or the file is no such table.
        """
        found = _records(self.path, self.separator, self.quotes)
        if self.header:
            next(found)
        for line, cells in found:
            if len(cells) != len(self.names):
                raise DataError(
                    f"{self.path} line {line} has {len(cells)} values, and there are {len(self.names)} columns, separated by "
                    f"{self.separator!r}; quote values that hold it, or give another `separator`."
                )
            yield line, cells


def open_table(path: Path, separator: str | None, header: bool, quotes: bool) -> Table:
    """The columns of a file: those that its first row names, or 0, 1, ...

    Args:
        path: in UTF-8, with or without a byte order mark.
        separator: between values; none: a tab in .tsv files, else what the header has most of among , ; | and tabs.
        header: whether the first row names the columns.
        quotes: whether `"` encloses values.

    Raises:
        DataError: the file is missing or empty, or its first row cannot be read.
    """
    if separator is None:
        separator = "\t" if path.suffix.lower() in TABS else _commonest(path) if header else ","
    first = next(_records(path, separator, quotes), None)
    if first is None:
        raise DataError(f"{path} is empty.")
    cells = [cell.strip() for cell in first[1]] if header else list(map(str, range(len(first[1]))))
    return Table(path, separator, quotes, header, tuple(cells))


def _commonest(path: Path) -> str:
    line = next(_lines(path), "")
    return max(SEPARATORS, key=line.count)


def _records(path: Path, separator: str, quotes: bool) -> Iterator[tuple[int, list[str]]]:
    lines = _lines(path)
    reader = (
        csv.reader(lines, delimiter=separator, strict=True)
        if quotes
        else csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE)
    )
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            hint = "; if quotes in this file enclose nothing, say `quotes: false`" if quotes else ""
            raise DataError(f"{path} line {line} is no row of a table: {error}{hint}.") from None
        if cells:
            yield line, cells


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                yield re.sub(r"\r\n$", "\n", line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} line {number} is not in UTF-8 ({error.reason}); save it in UTF-8.") from None
