"""What a limit against an earlier run says of itself, so that it is one record."""

from collections.abc import Callable
from dataclasses import dataclass

from artifacts.records.evidence import ArtifactRecord
from tightship.gating.baseline import Figures
from tightship.gating.gates.base import Side

API = 1
"""The version of this interface; a record of another one is refused."""


@dataclass(frozen=True)
class BaselineLimit:
    """How one limit against a baseline is read."""

    name: str
    value: Callable[[ArtifactRecord, Figures], float | None]
    """(artifact, baseline's figures) -> the value that decides."""
    direction: Side
    unit: str | Callable[[ArtifactRecord], str]
    """What stands after the value in a sentence."""
    timed: bool = False
    """Holds only on the machine where the baseline was measured."""
    incomparable_reason: Callable[[ArtifactRecord, Figures], str | None] = lambda artifact, base: None
    """Why these two cannot be compared, as a phrase; none if they can."""
    note: Callable[[ArtifactRecord, Figures, float], str] = lambda artifact, base, limit: ""
    """(artifact, baseline's figures, limit that was not met) -> what a reader should know of that, or nothing."""
    api: int = API


POINT = " of the baseline's (a point: it has no interval)"


def over(now: float, then: float) -> float | None:
    """A ratio; none of nothing."""
    return now / then if then > 0 else None


def same_load(artifact: ArtifactRecord, base: Figures) -> str | None:
    """Calls are compared only where batch and threads are the same."""
    for what, now, then in (
        ("threads", artifact.latency_ms.threads, base.threads),
        ("examples a call", artifact.latency_ms.batch, base.batch),
    ):
        if now != then:
            return f"this run measured with {now} {what}, the baseline with {then}"
    return None
