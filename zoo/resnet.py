"""The residual networks for small images of He et al. 2015 (arXiv:1512.03385, section 4.2), depth 6n+2."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from artifacts.errors import ModelError

Shortcut = Literal["A", "B"]
"""A: no parameters (every second pixel, zero-padded channels); B: a strided 1x1 convolution where the shape changes."""


class PadShortcut(nn.Module):
    """Option A: take every second pixel and pad the channels with zeros on both sides."""

    def __init__(self, stride: int, extra: int) -> None:
        super().__init__()
        self.stride, self.before, self.after = stride, extra // 2, extra - extra // 2

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C + extra, H / stride, W / stride)."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))


class BasicBlock(nn.Module):
    """conv-BN-ReLU-conv-BN, plus a shortcut, then ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = (
                PadShortcut(stride, outputs - inputs)
                if shortcut == "A"
                else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """Three stages of n basic blocks, widths w, 2w, 4w; global average pooling; one linear layer."""

    def __init__(self, depth: int, width: int, classes: int, channels: int, shortcut: Shortcut) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = self._stage(width, width, blocks, 1, shortcut)
        self.layer2 = self._stage(width, 2 * width, blocks, 2, shortcut)
        self.layer3 = self._stage(2 * width, 4 * width, blocks, 2, shortcut)
        self.linear = nn.Linear(4 * width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    @staticmethod
    def _stage(inputs: int, outputs: int, blocks: int, stride: int, shortcut: Shortcut) -> nn.Sequential:
        first = BasicBlock(inputs, outputs, stride, shortcut)
        return nn.Sequential(first, *(BasicBlock(outputs, outputs, 1, shortcut) for _ in range(blocks - 1)))

    def forward(self, image: Tensor) -> Tensor:
        """Images (N, channels, H, W) -> logits (N, classes)."""
        x = F.relu(self.bn1(self.conv1(image)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))  # type: ignore[no-any-return]


def resnet(depth: int = 20, width: int = 16, classes: int = 10, channels: int = 3, shortcut: Shortcut = "B") -> ResNet:
    """A CIFAR-style ResNet.

    Raises:
        ModelError: the depth is not 6n+2, a size is not positive, or the shortcut is unknown.
    """
    if depth < 8 or (depth - 2) % 6:
        raise ModelError(f"resnet depth {depth} is not 6n+2; use 8, 14, 20, 32, 44, 56 or 110.")
    if min(width, classes, channels) < 1:
        raise ModelError(f"resnet width {width}, classes {classes} and channels {channels} must be at least 1.")
    if shortcut not in ("A", "B"):
        raise ModelError(f"resnet shortcut {shortcut!r} is unknown; known: A, B.")
    return ResNet(depth, width, classes, channels, shortcut)
