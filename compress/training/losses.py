"""The losses of `compress.losses` on batches: the task's own, and what teachers add."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor, nn

from artifacts.errors import DataError, ModelError
from compress.losses import LOSSES, usual_task, usual_teaching
from compress.training.batches import Inputs, Mixed, Targets, first_output

if TYPE_CHECKING:
    from compress.losses.base import TeachingTerm

Loss = Callable[[nn.Module, Inputs, Targets], Tensor]
"""(module, inputs by name, targets) -> a scalar to minimize."""


def task_loss(label_smoothing: float = 0.0, loss: str | None = None) -> Loss:
    """The loss of this name; by default cross-entropy for whole-number targets, mean squared error for real ones."""

    def of_module(module: nn.Module, inputs: Inputs, targets: Targets) -> Tensor:
        return task_term(first_output(module, inputs), targets, label_smoothing, loss)

    return of_module


def task_term(outputs: Tensor, targets: Targets, label_smoothing: float = 0.0, loss: str | None = None) -> Tensor:
    """The task's own loss for one batch of outputs: (N, classes, ...) for class numbers, (N, ...) for real targets.

    For mixed targets the two terms are added by their shares; cross-entropy is linear in the target distribution.

    Raises:
        DataError: the targets are of a kind that the loss does not compare with.
    """
    if isinstance(targets, Mixed):
        first, second = (task_term(outputs, side, label_smoothing, loss) for side in (targets.first, targets.second))
        return targets.share * first + (1 - targets.share) * second
    term, kind = LOSSES.find(loss or usual_task(is_real(targets))), "values" if is_real(targets) else "classes"
    if term.task is None or term.targets not in ("any", kind):
        needs = "a teacher" if term.task is None else f"targets that are {term.targets}"
        raise DataError(f"loss {term.name!r} needs {needs}, and the data's targets are {kind}; leave 'loss' out.")
    return term.task(outputs, targets, label_smoothing)


def teaching_term(name: str | None, real: bool) -> "TeachingTerm":
    """How outputs are compared with teachers' by the loss of this name, or by the usual one for targets of this kind.

    Raises:
        ModelError: the loss compares with targets only.
    """
    term = LOSSES.find(name or usual_teaching(real))
    if term.teaching is None:
        raise ModelError(f"loss {term.name!r} compares with targets, not with a teacher; choose another 'output_loss'.")
    return term.teaching


def is_real(targets: Targets) -> bool:
    """Whether the task has no classes: its targets are real values."""
    return not isinstance(targets, Mixed) and targets.is_floating_point()
