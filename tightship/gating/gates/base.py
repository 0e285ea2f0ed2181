"""What a limit on a measured value says of itself, so that a gate is one record. Imports nothing heavy."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from artifacts.records.evidence import ArtifactRecord

API = 1
"""The version of this interface; a record of another one is refused."""

Side = Literal["at most", "at least"]


@dataclass(frozen=True)
class Gate:
    """How one limit is read, and which limits may be set."""

    name: str
    value: Callable[[ArtifactRecord, ArtifactRecord], float | None]
    """(artifact, reference) -> the value that decides; none where it was not measured, which fails."""
    direction: Side
    description: str
    """What the limit asks for, in a sentence with its unit: editors and the reference show it."""
    example: float
    unit: str = ""
    """What stands after the value in a sentence."""
    lack: str = ""
    """Why there may be no value, and what mends it."""
    above: float | None = None
    """A limit must be larger than this."""
    least: float | None = None
    """A limit must be at least this."""
    most: float | None = None
    """A limit must be at most this."""
    api: int = API
