"""The task's own loss."""

from collections.abc import Callable

from torch import Tensor, nn

from compress.training.batches import Inputs, Mixed, Targets, first_output

Loss = Callable[[nn.Module, Inputs, Targets], Tensor]
"""(module, inputs by name, targets) -> a scalar to minimize."""


def task_loss(label_smoothing: float = 0.0) -> Loss:
    """Cross-entropy for whole-number targets, mean squared error for real ones."""

    def loss(module: nn.Module, inputs: Inputs, targets: Targets) -> Tensor:
        return task_term(first_output(module, inputs), targets, label_smoothing)

    return loss


def task_term(outputs: Tensor, targets: Targets, label_smoothing: float = 0.0) -> Tensor:
    """The task's own loss for one batch of outputs: (N, classes, ...) for class numbers, (N, ...) for real targets.

    Cross-entropy is linear in the target distribution, so for mixed targets the two terms are added by their shares.
    """
    if isinstance(targets, Mixed):
        first, second = (task_term(outputs, side, label_smoothing) for side in (targets.first, targets.second))
        return targets.share * first + (1 - targets.share) * second
    if targets.is_floating_point():
        return nn.functional.mse_loss(outputs.view_as(targets), targets)
    return nn.functional.cross_entropy(outputs, targets.long(), label_smoothing=label_smoothing)


def is_real(targets: Targets) -> bool:
    """Whether the task has no classes: its targets are real values."""
    return not isinstance(targets, Mixed) and targets.is_floating_point()
