"""What a network that is called in a loop does there: how fast, and how it drifts from the reference."""

from dataclasses import dataclass

from artifacts.records.measured import Bounds


@dataclass(frozen=True)
class LoopRecord:
    """A loop whose every step feeds what the step before gave: sampling of text, of images, a recurrent network in use."""

    steps: int
    unit: str
    """What a step makes, such as `token`."""
    per_second: float
    """Steps per second, feeding included, of one example; the median over processes."""
    ci95: Bounds
    """95 % interval over processes."""
    processes: int
    loops: int
    """That were timed, in all."""
    watched: str
    """The output that is compared."""
    error: tuple[float, ...]
    """Of each step: the root mean square difference from the reference's own loop, by the spread of its output there."""
    agreement: tuple[float, ...]
    """Of each step: the share of examples (and positions) whose largest value along the last axis is at the same place."""
    examples: int
    """That the errors are over."""
