"""A network that calls the operator."""

import gates  # noqa: F401  registers gates::soft_gate
import torch
from torch import nn


class SoftGate(nn.Module):
    """The operator as a layer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape in, the same shape out."""
        return torch.ops.gates.soft_gate(x, 0.25)


def build(width: int = 16) -> nn.Module:
    """What the recipe's `model: {factory: "nets:build"}` calls: images (N, 1, 8, 8) to logits (N, 10)."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), SoftGate(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(2 * width), SoftGate(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 10),
    )  # fmt: skip
