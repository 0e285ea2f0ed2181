"""Text that a Markdown reader shows literally, and what is built of it."""

import re
from collections.abc import Iterable, Sequence

from tightship.reporting.formatting import clean


def escape(value: str) -> str:
    """The value as Markdown text: nothing in it can be markup, a table cell's end, or HTML."""
    return re.sub(r"([\\`*_{}\[\]<>|#!~&])", r"\\\1", clean(value))


def bullets(lines: Iterable[str]) -> str:
    """A list with one item for each line, which may hold anything."""
    return "\n".join(f"- {escape(line)}" for line in lines)


def bulleted(title: str, lines: Sequence[str]) -> list[str]:
    """A heading and a list; nothing where there are no lines."""
    return [f"### {title}", bullets(lines)] if lines else []
