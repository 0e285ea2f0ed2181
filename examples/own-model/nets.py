"""The network: nothing in it knows of tightship."""

import torch
from torch import nn


class SmallNet(nn.Module):
    """Three convolutions, one of them in a residual branch, and a linear head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.branch = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.down = nn.Sequential(
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(2 * width), nn.ReLU()
        )
        self.head = nn.Linear(2 * width, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Images (N, 1, 8, 8) to logits (N, 10)."""
        x = self.stem(image)
        x = self.down(torch.relu(x + self.branch(x)))
        return self.head(x.mean(dim=(2, 3)))


def build(width: int = 16) -> nn.Module:
    """What the recipe's `model: {factory: "nets:build"}` calls; further keys of `model` are its arguments."""
    return SmallNet(width)
