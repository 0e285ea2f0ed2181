"""What a run tells of itself while it works, handed to a function of the caller."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifacts.errors import RequestError

if TYPE_CHECKING:
    from tightship.pipeline.progress import Progress
    from tightship.pipeline.stages.results import StageResult
    from tightship.store import Entry

SECONDS_APART = 0.5
"""A step in flight is told of no more often than this: training alone would tell hundreds of times a second."""


@dataclass(frozen=True)
class Update:
    """Where a run is.

    Attributes:
        step: the step's name, such as `prune`.
        number: its place, from 1.
        steps: how many there are.
        share: how much of the step is done, 0..1.
        message: what is happening, or what the step did.
        done: whether the step has ended.
        cached: whether it was found in the store; known when it has ended.

    >>> import tightship as ts
    >>> print(ts.Update("prune", 2, 7, 0.5, "step-1 (1/2) epoch 1/1"))
    [2/7] prune: 50 % step-1 (1/2) epoch 1/1
    """

    step: str
    number: int
    steps: int
    share: float = 0.0
    message: str = ""
    done: bool = False
    cached: bool = False

    def __str__(self) -> str:
        state = "cached" if self.cached else "done" if self.done else f"{self.share:.0%}".replace("%", " %")
        return f"[{self.number}/{self.steps}] {self.step}: {state}{f' {self.message}' if self.message else ''}"


OnProgress = Callable[[Update], object]
"""Called as a run goes on; `print` will do."""


class Told:
    """A run's progress, told to a function.

    While a step works, what its libraries print goes to the step's log; what the function prints goes where the caller's does.
    """

    def __init__(self, tell: OnProgress) -> None:
        self.tell, self.at, self.last = tell, Update("", 1, 1), 0.0
        self.streams = os.dup(1), os.dup(2)

    def begin(self, name: str, index: int, total: int) -> None:
        """A step begins."""
        self.at = Update(name, index + 1, total)
        self._tell(self.at)

    def update(self, share: float, message: str) -> None:
        """The step in flight has done `share` (0..1)."""
        if time.monotonic() - self.last >= SECONDS_APART:
            with self._outside():
                self._tell(Update(self.at.step, self.at.number, self.at.steps, share, message))

    def end(self, name: str, entry: "Entry[StageResult]") -> None:
        """A step is done, or was found in the store."""
        self._tell(Update(name, self.at.number, self.at.steps, 1.0, entry.result.summary, True, entry.cached))

    def close(self) -> None:
        """Let go of the caller's streams."""
        for stream in self.streams:
            os.close(stream)

    def _tell(self, update: Update) -> None:
        self.tell(update)
        self.last = time.monotonic()

    @contextlib.contextmanager
    def _outside(self) -> Iterator[None]:
        """The caller's standard output and error in the place of the log."""
        flush()
        inside = os.dup(1), os.dup(2)
        try:
            for number, stream in zip((1, 2), self.streams, strict=True):
                os.dup2(stream, number)
            yield
            flush()
        finally:
            for number, stream in zip((1, 2), inside, strict=True):
                os.dup2(stream, number)
                os.close(stream)


def flush() -> None:
    """Write out what Python holds back of standard output and error."""
    sys.stdout.flush()
    sys.stderr.flush()


class CallersOwn(Exception):
    """An error of the caller's function, on its way to the caller."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def throttled(tell: OnProgress | None, step: str) -> Callable[[float, str], None]:
    """(share done, what is happening) as updates of one step; None: nothing is told.

    Raises:
        RequestError: `tell` is no function.
    """
    last = 0.0
    if tell is not None and not callable(tell):
        raise RequestError(f"on_progress must be a function such as print, not a {type(tell).__name__}.")

    def update(share: float, message: str) -> None:
        nonlocal last
        if tell is not None and (share >= 1 or time.monotonic() - last >= SECONDS_APART):
            last = time.monotonic()
            try:
                tell(Update(step, 1, 1, share, message, share >= 1))
            except Exception as error:
                raise CallersOwn(error) from error

    return update


@contextlib.contextmanager
def told(given: "OnProgress | Progress | None") -> "Iterator[Progress]":
    """A function, or an object with `begin`, `update` and `end`, as the progress that a run tells; None: nothing is told."""
    from tightship.pipeline.progress import Quiet

    if given is None:
        yield Quiet()
    elif callable(given):
        progress = Told(given)
        try:
            yield progress
        finally:
            progress.close()
    elif hasattr(given, "begin"):
        yield given
    else:
        raise RequestError(f"on_progress must be a function such as print, not a {type(given).__name__}.")
