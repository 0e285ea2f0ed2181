"""The task's metric in plain words: values, drops, and what lies above or below the reference."""

import re
from collections.abc import Sequence
from math import isfinite

from artifacts.records.evidence import AccuracyRecord, ArtifactRecord
from artifacts.records.measured import SHARE
from tightship.reporting.formatting import MISSING, clean, number, percent

# a metric with one of these words in its name is not a share, even where its value lies between 0 and 1
_NOT_A_SHARE = re.compile("error|loss|mse|mae|perplexity|nll|psnr|distance", re.IGNORECASE)


def is_share(accuracy: AccuracyRecord) -> bool:
    """Whether the metric is a share between 0 and 1, shown in percent and compared in points.

    Evidence of versions that recorded no unit is judged by the metric's name and values.
    """
    if accuracy.unit is not None:
        return accuracy.unit == SHARE
    values = [v for v in (accuracy.reference, accuracy.simulated, accuracy.deployed) if v is not None]
    return all(0 <= v <= 1 for v in values) and not _NOT_A_SHARE.search(accuracy.metric)


def score(value: float | None, accuracy: AccuracyRecord) -> str:
    """A value of the task's metric: a percentage if it is a share, else the number itself and its unit."""
    if is_share(accuracy):
        return percent(value)
    return f"{number(value, 4)} {clean(accuracy.unit)}" if accuracy.unit else number(value, 4)


def drop(accuracy: AccuracyRecord) -> float | None:
    """How much worse the deployed metric is than the reference: in points if it is a share; negative is a gain."""
    if accuracy.reference is None:
        return None
    return accuracy.lost(accuracy.deployed, accuracy.reference) * (100 if is_share(accuracy) else 1)


def drop_text(accuracy: AccuracyRecord) -> str:
    """The drop with its sign, such as `0.03`, or `-0.12` for a gain."""
    lost = drop(accuracy)
    if lost is None or not isfinite(lost):
        return MISSING
    # adding zero turns the negative zero that rounding leaves into zero
    return f"{round(lost, 2) + 0.0:.2f}" if is_share(accuracy) else number(lost)


def against_reference(accuracy: AccuracyRecord) -> str:
    """The deployed metric held against the reference, as a phrase."""
    lost = drop(accuracy)
    if lost is None:
        return "no reference accuracy was measured"
    unit = " points" if is_share(accuracy) else ""
    of = f"the reference ({score(accuracy.reference, accuracy)})"
    if abs(lost) < (0.005 if unit else 1e-9):
        return f"the same as {of}"
    amount = f"{abs(lost):.2f}" if unit else number(abs(lost))
    below = (lost > 0) == (accuracy.direction == "larger")
    return f"{amount}{unit} {'below' if below else 'above'} {of}"


def drop_heading(artifacts: Sequence[ArtifactRecord]) -> str:
    """The heading of a column of drops."""
    return "Drop, points" if all(is_share(a.accuracy) for a in artifacts) else "Drop"
