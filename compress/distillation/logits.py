"""Distillation from outputs: softened class probabilities (Hinton et al. 2015, arXiv:1503.02531), or values and embeddings.

Several teachers are averaged in probabilities, not in logits: the mean of logits would let the most confident scale decide
(You et al. 2017, Learning from Multiple Teacher Networks).
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from artifacts.errors import ModelError
from compress.configs.distil import OutputLoss


def distillation_term(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² · KL(teacher ‖ student) of the outputs (N, classes, ...) softened by T, averaged over the batch (and positions)."""
    return divergence(student, probabilities([teacher], [1.0], temperature), temperature)


def divergence(student: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """T² · KL(wanted ‖ student) for logits (N, classes, ...) and logarithms of the wanted probabilities."""
    logs = F.log_softmax(student / temperature, dim=1)
    return F.kl_div(logs, wanted, reduction="none", log_target=True).sum(1).mean() * temperature**2


def probabilities(teachers: Sequence[Tensor], weights: Sequence[float], temperature: float) -> Tensor:
    """log Σ wᵢ · softmax(zᵢ / T) of the teachers' logits zᵢ (N, classes, ...); the weights sum to one."""
    logs = [F.log_softmax(z / temperature, dim=1) for z in teachers]
    if len(logs) == 1:
        return logs[0]
    return torch.logsumexp(torch.stack([one + math.log(w) for one, w in zip(logs, weights, strict=True)]), 0)


def output_term(
    student: Tensor, teachers: Sequence[Tensor], weights: Sequence[float], kind: OutputLoss, temperature: float
) -> Tensor:
    """How far the student's output is from what the teachers say together.

    `kl` is the softened divergence; `mse` the squared difference from the teachers' weighted mean; `cosine` one minus the
    cosine of the angle to the weighted mean of the teachers' directions, for embeddings (N, ...).
    """
    if kind == "kl":
        if student.ndim < 2:
            raise ModelError(
                f"outputs of shape {tuple(student.shape)} have no classes to soften; set output_loss to mse or cosine."
            )
        return divergence(student, probabilities(teachers, weights, temperature), temperature)
    if kind == "mse":
        wanted = sum((w * z for w, z in zip(weights, teachers, strict=True)), torch.zeros_like(student))
        return F.mse_loss(student, wanted)
    directions = [w * F.normalize(z.flatten(1), dim=1) for w, z in zip(weights, teachers, strict=True)]
    return (1 - F.cosine_similarity(student.flatten(1), torch.stack(directions).sum(0), dim=1)).mean()
