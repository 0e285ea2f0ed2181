"""How well each class is told from the others on the deployed artifact, and which ones are taken for which."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ClassRecord:
    """One class among the positions that count."""

    number: int
    support: int
    """How often it is true."""
    answered: int
    """How often it is answered."""
    precision: float | None
    """Of the answers that are this class, the share that is right, 0..1; none where it is never answered."""
    recall: float | None
    """Of the times that it is true, the share that is answered so, 0..1; none where it never is."""
    f1: float | None
    """The harmonic mean of both, 0..1; none where it is neither true nor answered, as of `iou`."""
    iou: float | None
    """Right answers, of all times that it is true or answered, 0..1."""


@dataclass(frozen=True)
class ConfusionRecord:
    """One class that is taken for another."""

    target: int
    answer: int
    count: int


@dataclass(frozen=True)
class PerClassRecord:
    """The figures of each class on the whole test set, and the confusions."""

    classes: int
    """How many the network tells apart."""
    positions: int
    """Examples that count, or positions in them."""
    figures: tuple[ClassRecord, ...]
    """By class number; with more than a thousand classes those that are true most often."""
    confusions: tuple[ConfusionRecord, ...]
    """The most frequent ones, the most frequent first."""
    counts: tuple[tuple[int, ...], ...] | None = None
    """Row by class that is true, column by class that is answered; none with more than 40 classes."""
