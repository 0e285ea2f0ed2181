"""What every stage is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from tightship.pipeline.stages.results import StageResult
from tightship.planning.step_configs import StepConfig
from tightship.planning.steps import REFERENCE, SOURCE
from tightship.store import Entry
from zoo.splits import TaskData
from zoo.unlabelled import answered

if TYPE_CHECKING:
    from artifacts.types import TorchModel

C_co = TypeVar("C_co", bound=StepConfig, covariant=True)
R = TypeVar("R", bound=StageResult)


@dataclass(frozen=True)
class Job(Generic[C_co]):
    """One step of one run: what it is told, what it builds on, and where it writes. It sees nothing of the recipe."""

    config: C_co
    inputs: Mapping[str, Entry[StageResult]]
    """By the names that the step's `needs` give them."""
    out: Path
    """An empty folder for the step's files."""
    work: Path
    """A folder that outlives a crash."""
    memory: Path
    """A folder where steps remember what they measured beside their result."""
    task: Callable[[], TaskData]
    """Loads the task's data, once a run."""
    progress: Callable[[float, str], None] = field(default=lambda share, message: None)

    @cached_property
    def data(self) -> TaskData:
        """The task's data; where it has no targets, with the outputs of the reference as such, once there is one."""
        task = self.task()
        if task.labelled or REFERENCE not in self.inputs:
            return task
        reference = self.network(REFERENCE)
        return answered(task, reference.module, reference.signature.outputs)

    @property
    def has_targets(self) -> bool:
        """Whether the data have targets, their own or the reference's outputs."""
        return self.task().labelled or REFERENCE in self.inputs

    def input(self, name: str, kind: type[R]) -> Entry[R]:
        """What an earlier step made, which is of this kind."""
        entry = self.inputs[name]
        assert isinstance(entry.result, kind), f"{name} is a {type(entry.result).__name__}, not a {kind.__name__}"
        return Entry(entry.key, entry.folder, entry.digest, entry.seconds, entry.result, entry.cached)

    def network(self, name: str = SOURCE) -> "TorchModel":
        """The network that an earlier step stored."""
        from compress import checkpoint

        return checkpoint.load(self.inputs[name].folder)
