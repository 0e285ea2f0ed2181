"""Distillation from outputs: softened class probabilities (Hinton et al. 2015, arXiv:1503.02531).

Several teachers are averaged in probabilities, not in logits: the mean of logits would let the most confident scale decide
(You et al. 2017, Learning from Multiple Teacher Networks).
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


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
