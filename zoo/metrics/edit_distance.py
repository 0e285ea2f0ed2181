"""Word and token error rates: how many tokens must be put in, left out or changed, of those wanted (Levenshtein 1966)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError
from artifacts.types import Array, Arrays
from zoo.metrics.base import SHARE, Metric, first
from zoo.pairing import IGNORED, classes_of, counted, shown

BLANK = 0
"""The class that says nothing, as in PyTorch's `CTCLoss`."""


@dataclass(frozen=True)
class Tokens:
    """Sequences of several lengths: numbers (N, T) from the left, and how many of each row count (N,)."""

    numbers: NDArray[np.int64]
    lengths: NDArray[np.int64]


def packed(numbers: Array, some: NDArray[np.bool_]) -> Tokens:
    """The numbers (N, T) that count, moved together to the left."""
    order = np.argsort(~some, axis=1, kind="stable")
    return Tokens(np.take_along_axis(numbers, order, axis=1).astype(np.int64), some.sum(axis=1))


def distances(answers: Tokens, wanted: Tokens) -> NDArray[np.int64]:
    """The edit distance of each pair of sequences, (N,): all rows of Wagner and Fischer's table (1974) at once."""
    places = np.arange(wanted.numbers.shape[1] + 1)
    row = np.tile(places, (len(wanted.lengths), 1))
    for at in range(int(answers.lengths.max(initial=0))):
        changed = row[:, :-1] + (wanted.numbers != answers.numbers[:, at, None])
        fresh = np.concatenate([row[:, :1] + 1, np.minimum(changed, row[:, 1:] + 1)], axis=1)
        # left to right: a token of the target that has no answer
        fresh = np.minimum.accumulate(fresh - places, axis=1) + places
        row = np.where((at < answers.lengths)[:, None], fresh, row)
    return np.asarray(np.take_along_axis(row, wanted.lengths[:, None], axis=1)[:, 0])


def aligned(outputs: Arrays, targets: Array) -> tuple[Tokens, Tokens]:
    """The likeliest token at each position that counts, and the tokens wanted there.

    Raises:
        DataError: the targets are no sequences, do not fit the first output, or none counts.
    """
    scores, numbers = classes_of(first(outputs), targets)
    if numbers.ndim > 2:
        raise DataError(f"metric 'wer' needs tokens (N, T) as targets, and the data's are {shown(numbers.shape)}.")
    numbers, said = numbers.reshape(len(numbers), -1), scores.argmax(axis=-1).reshape(len(numbers), -1)
    some = counted(numbers)
    return packed(said, some), packed(numbers, some)


def collapsed(outputs: Arrays, targets: Array) -> tuple[Tokens, Tokens]:
    """The likeliest class at each step, repeats made one and blanks left out (Graves et al. 2006), and the tokens wanted.

    Raises:
        DataError: the first output is not (N, steps, classes), or the targets no class numbers (N, T) of 1 or more, or
            none counts.
    """
    scores = first(outputs)
    if scores.ndim != 3 or targets.ndim != 2 or len(scores) != len(targets) or targets.dtype.kind not in "iu":
        raise DataError(
            "metric 'cter' needs outputs (N, steps, classes) and class numbers (N, T) as targets, and these are "
            f"{shown(scores.shape)} and {targets.dtype} {shown(targets.shape)}."
        )
    numbers = targets.astype(np.int64)
    some = counted(numbers)
    wrong = numbers[some & ((numbers <= BLANK) | (numbers >= scores.shape[-1]))]
    if wrong.size:
        raise DataError(
            f"the targets hold class {wrong[0]}: of {scores.shape[-1]} classes {BLANK} is the blank of CTC, tokens are counted "
            f"from 1, and what stands behind them is {IGNORED}."
        )
    said = scores.argmax(axis=-1)
    fresh = np.concatenate([np.ones_like(said[:, :1], np.bool_), said[:, 1:] != said[:, :-1]], axis=1)
    return packed(said, fresh & (said != BLANK)), packed(numbers, some)


def _rate(answers: Tokens, wanted: Tokens) -> float:
    return float(distances(answers, wanted).sum() / wanted.lengths.sum())


def _rates(answers: Tokens, wanted: Tokens) -> NDArray[np.float64]:
    return np.asarray(distances(answers, wanted) / np.maximum(wanted.lengths, 1))


def wer(outputs: Arrays, targets: Array) -> float:
    """Edits of the first output's likeliest tokens, of all tokens that count, 0..1; classes last or second.

    Raises:
        DataError: see `aligned`.
    """
    return _rate(*aligned(outputs, targets))


def cter(outputs: Arrays, targets: Array) -> float:
    """Edits of the first output's likeliest path of CTC, of all tokens wanted; above 1 where it says more than is wanted.

    Raises:
        DataError: see `collapsed`.
    """
    return _rate(*collapsed(outputs, targets))


def wers(outputs: Arrays, targets: Array) -> Array:
    """Of each example, (N,); 0 where it has no token and none is said."""
    return _rates(*aligned(outputs, targets))


def cters(outputs: Arrays, targets: Array) -> Array:
    """Of each example, (N,); where it has no token, how many are said."""
    return _rates(*collapsed(outputs, targets))


WER = Metric("wer", wer, "smaller", SHARE, "classes", per_example=wers)
CTER = Metric("cter", cter, "smaller", SHARE, "any", per_example=cters)
