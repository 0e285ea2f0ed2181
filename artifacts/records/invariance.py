"""Whether what a file says of one example depends on what it should not depend on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class InvarianceRecord:
    """Root mean square differences between answers that should be the same, by the spread of the reference; of all outputs the
    largest."""

    batch: float | None = None
    """Of an example alone, and beside others in its call; none where a call takes one number of examples."""
    padding: float | None = None
    """At the positions that count, with other values where the mask says that nothing counts; none without such a mask."""
