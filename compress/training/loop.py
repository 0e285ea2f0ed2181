"""The training loop that every method shares: seeded by step, so that a killed run ends with the same weights.

Devices, mixed precision and several processes (`accelerate launch`) are Accelerate's. The parts are in `compress/training/`.
"""

from torch import nn

from compress.training.batches import Inputs, Mixed, Targets, first_output, predict, predict_all, subset, tensors
from compress.training.losses import Loss, task_loss, task_term
from compress.training.optim import apply_masks, make_optimizer, rate
from compress.training.run import Progress, Run, Training, silent

__all__ = [
    "Inputs",
    "Loss",
    "Mixed",
    "Progress",
    "Targets",
    "Training",
    "apply_masks",
    "first_output",
    "fit",
    "make_optimizer",
    "predict",
    "predict_all",
    "rate",
    "silent",
    "subset",
    "task_loss",
    "task_term",
    "tensors",
]


def fit(module: nn.Module, loss: Loss, training: Training) -> None:
    """Train `module` in place; leaves it in eval mode, on the CPU.

    Every step draws from generators seeded by (seed, step), so the result does not depend on where it was interrupted.
    What the module holds at the end: with `holdout`, the state of the epoch that scored best; of the moving average, if
    there is one.

    Raises:
        StageCrashed: the loss became NaN or infinite.
        RequestError: the precision is one that this machine cannot train in.
        DataError: there are too few examples, or of a kind that cannot be mixed.
    """
    if training.config.epochs:
        Run(module, loss, training).run()
    module.eval()
