"""Show a run's progress: bars on a terminal, one plain line a step elsewhere."""

import os
import sys
from typing import Protocol

from tightship.pipeline.stages.results import StageResult
from tightship.store import Entry


class Progress(Protocol):
    """What a run tells of itself."""

    def begin(self, name: str, index: int, total: int) -> None:
        """A step begins."""
        ...

    def update(self, share: float, message: str) -> None:
        """The step in flight has done `share` (0..1)."""
        ...

    def end(self, name: str, entry: Entry[StageResult]) -> None:
        """A step is done, or was found in the store."""
        ...


class Quiet:
    """Shows nothing."""

    def begin(self, name: str, index: int, total: int) -> None:
        """See `Progress`."""

    def update(self, share: float, message: str) -> None:
        """See `Progress`."""

    def end(self, name: str, entry: Entry[StageResult]) -> None:
        """See `Progress`."""


class Shown:
    """Writes to standard error; libraries that print meanwhile cannot disturb it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        self._console = Console(file=os.fdopen(os.dup(2), "w"), highlight=False, soft_wrap=True)
        self._live = sys.stderr.isatty()
        columns = (
            TextColumn("{task.description:<34}"),
            BarColumn(),
            TextColumn("{task.fields[message]}"),
            TimeElapsedColumn(),
        )
        # redrawn seldom: the machine is being measured meanwhile
        self._bars = Bars(*columns, console=self._console, transient=True, refresh_per_second=4)
        self._task = self._bars.add_task("", total=1.0, message="") if self._live else None

    def begin(self, name: str, index: int, total: int) -> None:
        """See `Progress`."""
        if self._task is not None:
            self._bars.start()
            self._bars.reset(self._task, description=f"[{index + 1}/{total}] {name}", message="")

    def update(self, share: float, message: str) -> None:
        """See `Progress`."""
        if self._task is not None:
            self._bars.update(self._task, completed=share, message=message)

    def end(self, name: str, entry: Entry[StageResult]) -> None:
        """See `Progress`."""
        took = "cached" if entry.cached else f"{entry.seconds:.1f} s"
        from rich.markup import escape

        self._console.print(f"{escape(name):<38} {took:>8}  {escape(entry.result.summary)}")

    def close(self) -> None:
        """Take the bars off the screen."""
        if self._task is not None:
            self._bars.stop()
