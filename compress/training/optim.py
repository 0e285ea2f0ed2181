"""Optimizers, learning rates, and weights that stay zero."""

import math
from bisect import bisect_right
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from compress.training.config import TrainConfig

COLD = 0.04
"""A warm-up starts at this share of the learning rate."""


def rate(config: TrainConfig, share: float) -> float:
    """The learning rate after `share` (0..1) of the steps: a linear warm-up, then the schedule over what is left."""
    warm = config.warmup_share
    if share < warm:
        return config.learning_rate * (COLD + (1 - COLD) * share / warm)
    if config.lr_schedule == "constant":
        return config.learning_rate
    if config.lr_schedule == "step":
        # milestones are shares of the whole training, warm-up included
        return config.learning_rate * config.gamma ** bisect_right(sorted(config.milestones), share)
    done = (share - warm) / (1 - warm) if warm < 1 else 1.0
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def make_optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer that the config names; biases and normalisation are not decayed."""
    decayed = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in module.parameters() if p.requires_grad and p.ndim <= 1]
    groups: list[dict[str, object]] = [{"params": decayed, "weight_decay": config.weight_decay}]
    groups.append({"params": plain, "weight_decay": 0.0})
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate)
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=config.momentum > 0)


@torch.no_grad()
def apply_masks(module: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Set every masked weight to zero."""
    for name, mask in masks.items():
        weight = module.get_parameter(name)
        weight.mul_(mask.to(weight.device))
