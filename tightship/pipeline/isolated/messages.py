"""What the two processes tell each other, as `multiprocessing.connection` sends objects: both run the same code."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from artifacts import errors
from artifacts.errors import StageCrashed, TightshipError
from tightship.pipeline.stages.results import StageResult
from tightship.planning.step_configs import StepConfig
from tightship.planning.steps import Kind
from tightship.planning.threads import Choice
from tightship.store import Entry
from zoo.data import DataRef


@dataclass(frozen=True)
class Order:
    """A step to do; see `Job` for the folders and the inputs."""

    step: str
    kind: Kind
    config: StepConfig
    inputs: Mapping[str, Entry[StageResult]]
    out: Path
    work: Path
    memory: Path
    log: Path
    """Where what libraries print goes."""
    data: DataRef
    threads: Choice | None
    """With how many threads the step computes, where that was chosen."""
    torch_threads: int | None
    """With how many PyTorch computes otherwise, as the caller has it; None: by its own default."""


@dataclass(frozen=True)
class Said:
    """The step is at work, and has done `share` (0..1)."""

    share: float
    message: str


@dataclass(frozen=True)
class Done:
    """The step has ended, with its files in its folder."""

    result: StageResult


@dataclass(frozen=True)
class Failed:
    """The step has failed; the process is well. An error of another's class may not be known where this is read."""

    kind: str
    """The nearest of our own classes of errors."""
    reason: str
    trace: str

    @classmethod
    def of(cls, error: TightshipError, trace: str) -> "Failed":
        """What is said of an error."""
        ours = (base.__name__ for base in type(error).__mro__ if getattr(errors, base.__name__, None) is base)
        return cls(next(ours), str(error), trace)

    def error(self) -> TightshipError:
        """The error, which shows where it was raised if it is shown with its traceback."""
        kind: type[TightshipError] = getattr(errors, self.kind, StageCrashed)
        error = kind(self.reason)
        error.add_note(self.trace)
        return error


Answer = Said | Done | Failed
