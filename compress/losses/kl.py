"""The softened divergence from what teachers say (Hinton et al. 2015, arXiv:1503.02531)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from artifacts.errors import ModelError
from compress.losses.base import LossTerm

if TYPE_CHECKING:
    from torch import Tensor


def divergence(student: "Tensor", teachers: "Sequence[Tensor]", weights: Sequence[float], temperature: float) -> "Tensor":
    """T² · KL(teachers' mean of probabilities ‖ student) of logits (N, classes, ...).

    Raises:
        ModelError: the outputs have no classes.
    """
    from compress.losses import logits

    if student.ndim < 2:
        raise ModelError(
            f"outputs of shape {tuple(student.shape)} have no classes to soften; set output_loss to mse or cosine."
        )
    return logits.divergence(student, logits.probabilities(teachers, weights, temperature), temperature)


def from_targets(outputs: "Tensor", targets: "Tensor", label_smoothing: float) -> "Tensor":
    """KL(targets ‖ outputs) of logits (N, classes, ...) with probabilities of the same shape."""
    import torch.nn.functional as F

    return F.kl_div(F.log_softmax(outputs, dim=1), targets.to(outputs.dtype), reduction="none").sum(1).mean()


KL = LossTerm("kl", from_targets, divergence, "values")
