"""What a loss says of itself, so that nothing else asks for one by name. Imports nothing heavy."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    TaskTerm = Callable[[Tensor, Tensor, float], Tensor]
    TeachingTerm = Callable[[Tensor, Sequence[Tensor], Sequence[float], float], Tensor]

API = 1
"""The version of this interface; a record of another one is refused."""


@dataclass(frozen=True)
class LossTerm:
    """A scalar to minimize: how far the first output is from the targets, from what teachers say, or either."""

    name: str
    task: "TaskTerm | None" = None
    """(outputs (N, ...), targets (N, ...), label smoothing 0..1) -> a scalar. None: it compares with teachers only."""
    teaching: "TeachingTerm | None" = None
    """(the student's outputs, each teacher's, weights that sum to one, temperature) -> a scalar. None: needs targets."""
    targets: Literal["classes", "values", "any"] = "any"
    """What `task` compares with: whole numbers (N,), or (N, positions) for (N, classes, positions); or real values."""
    positions: bool = True
    """Whether each position of a target has its own in the output; without, the two may differ in length."""
    api: int = API

    def __post_init__(self) -> None:
        if self.task is None and self.teaching is None:
            raise ValueError(f"loss {self.name!r} compares with neither targets nor teachers")
