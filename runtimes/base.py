"""What a runtime is: three verbs, each cheap to import; and what its sessions may be able to do besides running."""

from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from artifacts.records.roofline import LayerTimes
from artifacts.types import Arrays, Availability, Engine, ExportedFile, Placement, Session


class Runtime(Protocol):
    """Turns an exported file into a session on one device; a class that inherits from it has `build` as it mostly is.

    `probe` runs in a child process, so that an import that hangs or crashes is a normal answer.
    """

    target: ClassVar[str]
    """The name of its target."""
    session: ClassVar[type[Session]]
    """The class of its sessions, which says by its bases what they can do."""

    def probe(self) -> Availability:
        """Whether this runtime and its device work here, and if not, the one command that would mend it."""
        ...

    def build(self, file: ExportedFile, folder: Path) -> Engine:
        """Make what the device opens; by default the exported file as it is.

        Raises:
            TargetUnavailable: the library or the device is missing.
        """
        return Engine(self.target, file.path, file.signature)

    def open(self, engine: Engine, threads: int) -> Session:
        """Load an engine, ready to run, on `threads` CPU threads.

        Raises:
            TargetUnavailable: the device that was asked for did not become the active one.
            ModelError: the file cannot be opened.
        """
        ...


@runtime_checkable
class Placed(Protocol):
    """A session that says where its operators run."""

    def placement(self) -> Placement:
        """Which operators run where."""
        ...


@runtime_checkable
class TimesLayers(Protocol):
    """A session that says what each layer takes."""

    def layer_times(self, inputs: Arrays) -> LayerTimes:
        """What each layer takes in a call on these inputs."""
        ...


@runtime_checkable
class ShowsTensors(Protocol):
    """A session that shows what is computed inside the file."""

    def tensors(self, inputs: Arrays) -> Arrays:
        """The float tensors inside the file for one call, by their names in it, in the order of the computation."""
        ...


@runtime_checkable
class TimesItself(Protocol):
    """A session whose engine lives in yet another process, and is timed there, so that the way to it is not."""

    def timed(self, inputs: Arrays, seconds: float, calls: int) -> tuple[list[int], Arrays]:
        """Nanoseconds of calls until both `seconds` and `calls` are over, and the outputs of the last."""
        ...

    def cpu_ns(self) -> int:
        """CPU time that the other processes have used."""
        ...

    def peak_mb(self) -> float:
        """The largest resident set of the process that holds the engine, in MB of 10^6 bytes."""
        ...


@runtime_checkable
class Closes(Protocol):
    """A session that holds something that must be let go."""

    def close(self) -> None:
        """Let it go; the session cannot run any more."""
        ...
