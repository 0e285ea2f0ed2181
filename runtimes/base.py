"""What a runtime is: three verbs, each cheap to import."""

from pathlib import Path
from typing import Protocol

from artifacts.types import Availability, Engine, ExportedFile, Session


class Runtime(Protocol):
    """Rounds an exported file into a session on one device.

    `probe` runs in a child process, so that an import that hangs or crashes is a normal answer.
    """

    def probe(self) -> Availability:
        """Whether this runtime and its device work here, and if not, the one command that would mend it."""
        ...

    def build(self, file: ExportedFile, folder: Path) -> Engine:
        """Make what the device opens; a runtime that opens the exported file itself returns it unchanged.

        Raises:
            TargetUnavailable: the library or the device is missing.
        """
        ...

    def open(self, engine: Engine, threads: int) -> Session:
        """Load an engine, ready to run, on `threads` CPU threads.

        Raises:
            TargetUnavailable: the device that was asked for did not become the active one.
        """
        ...
