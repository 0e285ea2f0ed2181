"""How far along its way to the goal a stepwise pruning stands after each step."""

from typing import Literal


def progress_after(step: int, steps: int, schedule: Literal["one-shot", "linear", "exponential", "cubic"]) -> float:
    """The share of the way (0..1] after step `step` (1..steps); exactly 1 after the last.

    one-shot: all of it at once; linear: equal steps;
    cubic: Zhu and Gupta 2017 (arXiv:1710.01878); exponential: halves what is left, rescaled to end at 1.

    >>> [round(progress_after(i, 4, "cubic"), 3) for i in (1, 2, 3, 4)]
    [0.578, 0.875, 0.984, 1.0]
    """
    share = step / steps
    if schedule == "one-shot":
        return 1.0
    if schedule == "linear":
        return share
    if schedule == "cubic":
        return 1 - (1 - share) ** 3
    return float((1 - 0.5**step) / (1 - 0.5**steps))
