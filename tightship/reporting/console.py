"""How texts reach a terminal: whatever they hold, they drive nothing, and what the console cannot write is replaced."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tightship.reporting.formatting import clean

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PLAIN_WIDTH = 120
"""How wide a table may be where no terminal tells its width."""


def terminal(plain_width: int = PLAIN_WIDTH) -> "Console":
    """The terminal; where there is none, one of this width."""
    import sys

    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=plain_width)


def grid(
    heads: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[str], out: "Console", styles: Sequence[str] = ()
) -> "Table":
    """A table of plain texts, the columns named in `left` aligned left and the others right."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, justify="left" if head in left else "right", overflow="fold")
    for row, style in zip(rows, styles or [""] * len(rows), strict=True):
        table.add_row(*(Text(encodable(clean(cell), out)) for cell in row), style=style)
    return table


def print_line(line: str, out: "Console") -> None:
    """Print a plain text on one line, whatever it holds."""
    print_markup(markup(line), out)


def print_markup(line: str, out: "Console") -> None:
    """Print rich markup on one line; what it quotes went through `markup`."""
    # `emoji=False`: a name such as `net:v2:` must not lose its colons to rich's emoji codes
    out.print(encodable(line, out), markup=True, emoji=False, highlight=False, soft_wrap=True)


def markup(text: str) -> str:
    """The text on one line with nothing in it that drives a terminal or reads as rich markup."""
    from rich.markup import escape

    return escape(clean(text))


def encodable(text: str, out: "Console") -> str:
    """The text in what the console can write: a log in ASCII must not end the run."""
    return text.encode(out.encoding, "replace").decode(out.encoding)
