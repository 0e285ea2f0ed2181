"""Rows of figures that a program reads by key, a notebook shows as a table, and pandas takes."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, overload

from artifacts.errors import TargetUnavailable
from artifacts.json import Row as Row

if TYPE_CHECKING:
    import pandas


class Table(Sequence[Row]):
    """Rows of figures: a sequence of mappings.

    Attributes:
        rows: the mappings, all with the same keys.
        shown: the columns that `print` and a notebook show; the rows hold all.

    >>> import tightship as ts
    >>> table = ts.Table([{"file": "a.onnx", "p50_ms": 0.41}, {"file": "b.onnx", "p50_ms": 0.2}])
    >>> [row["p50_ms"] for row in table]
    [0.41, 0.2]
    >>> print(table)
    file    p50_ms
    a.onnx  0.41
    b.onnx  0.2
    """

    def __init__(self, rows: Iterable[Row], shown: Sequence[str] = ()) -> None:
        self.rows = list(rows)
        self.shown = tuple(shown or (self.rows[0] if self.rows else ()))

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> "Table": ...
    def __getitem__(self, index: int | slice) -> "Row | Table":
        return Table(self.rows[index], self.shown) if isinstance(index, slice) else self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def to_pandas(self) -> "pandas.DataFrame":
        """All columns as a DataFrame, one row each.

        Raises:
            TargetUnavailable: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise TargetUnavailable(
                "to_pandas needs pandas, which is not installed; run `pip install pandas`, or read `.rows`."
            ) from None
        return pandas.DataFrame(self.rows)

    def __repr__(self) -> str:
        cells = [list(self.shown), *([_cell(row.get(name)) for name in self.shown] for row in self.rows)]
        widths = [max(len(line[at]) for line in cells) for at in range(len(self.shown))]
        lines = ("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return html_table(self.shown, [[_cell(row.get(name)) for name in self.shown] for row in self.rows])


def html_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A plain HTML table; every text is escaped, and characters that hide, reorder or control are left out."""
    from tightship.reporting.formatting import clean

    def line(cells: Iterable[str], tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{escape(clean(cell))}</{tag}>' for cell in cells)}</tr>"

    return f"<table><thead>{line(heads, 'th')}</thead><tbody>{''.join(line(row, 'td') for row in rows)}</tbody></table>"


def _cell(value: object) -> str:
    """A cell as text: floats in four significant digits."""
    if value is None:
        return "n/a"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
