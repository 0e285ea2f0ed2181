"""Text as numbers: by words of the training split, or by bytes."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from artifacts.json import JsonValue

PADDING, UNKNOWN = 0, 1
FIRST = 2
"""The first token that means something."""

WORD = r"\w+"
"""A regular expression of Python."""


class Tokens(Protocol):
    """A way from text to token numbers."""

    def of(self, text: str) -> list[int]:
        """The tokens of a text, each 1 or more."""
        ...

    def encoding(self) -> dict[str, JsonValue]:
        """What somebody else needs to make the same tokens."""
        ...


def words_of(text: str) -> list[str]:
    """The words of a text, lower-cased: runs of letters, digits and underscores."""
    return re.findall(WORD, text.lower())


@dataclass(frozen=True)
class Words:
    """Each word has a number, 2 or more; those that have none are 1."""

    numbers: Mapping[str, int]

    @classmethod
    def counted(cls, counts: Counter[str], size: int) -> "Words":
        """The commonest words, of equally common ones the first by the alphabet; `size` counts padding and unknown too."""
        ordered = sorted(counts, key=lambda word: (-counts[word], word))[: size - FIRST]
        return cls({word: number for number, word in enumerate(ordered, FIRST)})

    def of(self, text: str) -> list[int]:
        """See `Tokens`."""
        return [self.numbers.get(word, UNKNOWN) for word in words_of(text)]

    def encoding(self) -> dict[str, JsonValue]:
        """See `Tokens`; the first word is number 2."""
        return {"kind": "words", "pattern": WORD, "lower": True, "words": list(self.numbers)}


class Bytes:
    """Each byte of the text in UTF-8 is its value and 2: 258 tokens in all."""

    def of(self, text: str) -> list[int]:
        """See `Tokens`."""
        return [byte + FIRST for byte in text.encode()]

    def encoding(self) -> dict[str, JsonValue]:
        """See `Tokens`."""
        return {"kind": "bytes", "encoding": "utf-8"}


def padded(rows: Iterable[Sequence[int]], length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tokens (N, length), cut or continued with 0, and how many of each row are tokens (N,)."""
    cut = [row[:length] for row in rows]
    made = np.full((len(cut), length), PADDING, np.int64)
    for place, row in zip(made, cut, strict=True):
        place[: len(row)] = row
    return made, np.asarray([len(row) for row in cut], np.int64)
