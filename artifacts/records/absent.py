"""What a run does not show: targets that did not run, files that were made and not run, and what failed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from artifacts.json import JsonObject


@dataclass(frozen=True)
class FileRecord:
    """One shipped file."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class ConvertedRecord:
    """A file made for a target that this machine cannot run: it has no accuracy, no latency and no verdict."""

    id: str
    precision: str
    format: str
    main: str
    """What a runtime opens: a file, or a folder that holds several."""
    files: tuple[FileRecord, ...]
    bytes: int
    signature: JsonObject
    checked: Mapping[str, str]
    """What was looked at without running it, and what was found; in order."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class NotRun:
    """A target that the recipe names but this machine cannot run."""

    target: str
    reason: str
    converted: tuple[ConvertedRecord, ...] = ()
    """The files that were made for it all the same, where its system is another one."""


Stage = Literal["probe", "export", "check", "measure", "sensitivity", "loop"]


@dataclass(frozen=True)
class FailureRecord:
    """A file that could not be made, checked or measured, or a target that cannot run here; it costs its own row.

    At the stage `sensitivity` it costs the ranking of layers alone: the artifact is measured and judged.
    """

    id: str
    """The artifact, such as `onnxruntime-cpu/int8-ptq`; of a missing target its row, such as `onnxruntime-cpu`."""
    target: str
    precision: str | None
    """None where the target as a whole is missing."""
    stage: Stage
    """Where it failed; `probe`: the target cannot run here."""
    kind: str
    """The class of the error: `ModelError` where it was refused, `StageCrashed` where a process died or did not answer."""
    reason: str
    """One sentence."""
    log: str | None = None
    """What was printed meanwhile, relative to the run's folder."""

    @property
    def missing(self) -> bool:
        """Whether something is missing here, rather than wrong."""
        return self.kind == "TargetUnavailable"
