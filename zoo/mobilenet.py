"""A small MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) for images of about 32x32 pixels."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from artifacts.errors import ModelError

Activation = Literal["relu6", "relu"]

STAGES = ((1, 1, 1, 1), (4, 2, 2, 1), (4, 3, 2, 2), (4, 4, 2, 2))
"""Of the body: (expansion, channels in units of `width`, blocks, stride of the first)."""


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, 1x1 projection without an activation; a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, activation: type[nn.Module]) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [nn.Conv2d(inputs, hidden, 1, bias=False), nn.BatchNorm2d(hidden), activation()]
        layers += [nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False), nn.BatchNorm2d(hidden), activation()]
        layers += [nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


class MobileNetV2(nn.Module):
    """A 3x3 stem, seven inverted residuals in four stages, a 1x1 head, global average pooling, one linear layer."""

    def __init__(self, width: int, classes: int, channels: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), activation())
        blocks: list[nn.Module] = []
        inputs = width
        for expansion, wide, count, stride in STAGES:
            for at in range(count):
                blocks.append(InvertedResidual(inputs, wide * width, stride if at == 0 else 1, expansion, activation))
                inputs = wide * width
        self.blocks = nn.Sequential(*blocks)
        head = 4 * inputs
        self.head = nn.Sequential(nn.Conv2d(inputs, head, 1, bias=False), nn.BatchNorm2d(head), activation())
        self.linear = nn.Linear(head, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> Tensor:
        """Images (N, channels, H, W) -> logits (N, classes)."""
        x = self.head(self.blocks(self.stem(image)))
        return self.linear(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))  # type: ignore[no-any-return]


def mobilenet(
    width: int = 16,
    classes: int = 10,
    channels: int = 3,
    activation: Activation = "relu6",
    channel_spread: float = 1.0,
) -> MobileNetV2:
    """A small MobileNetV2.

    `channel_spread` above 1 starts the batch norms before depthwise convolutions with factors drawn log-uniformly from
    [1, spread]. The batch norm that follows takes each channel's factor out again, so the network computes and learns the
    same; but once batch norms are folded, the ranges of its channels differ by that much, as those of large trained
    MobileNets do (Nagel et al. 2019, arXiv:1906.04721, figure 2).

    Raises:
        ModelError: a size or the spread is below 1, the activation is unknown, or a spread is asked for with ReLU6, which
            would clip it off.
    """
    if min(width, classes, channels) < 1:
        raise ModelError(f"mobilenet width {width}, classes {classes} and channels {channels} must be at least 1.")
    if activation not in ("relu6", "relu"):
        raise ModelError(f"mobilenet activation {activation!r} is unknown; known: relu6, relu.")
    if not 1 <= channel_spread < math.inf:
        raise ModelError(f"mobilenet channel_spread {channel_spread} must be at least 1 and finite.")
    if channel_spread > 1 and activation == "relu6":
        raise ModelError(f"mobilenet channel_spread {channel_spread:g} needs activation: relu, because ReLU6 clips it off.")
    network = MobileNetV2(width, classes, channels, nn.ReLU6 if activation == "relu6" else nn.ReLU)
    if channel_spread > 1:
        spread(network, channel_spread)
    return network


@torch.no_grad()
def spread(network: MobileNetV2, factor: float) -> None:
    """Set the factors of every batch norm before a depthwise convolution log-uniformly in [1, factor], in place."""
    for block in network.blocks:
        assert isinstance(block, InvertedResidual)
        layers = list(block.layers)
        for norm, later in zip(layers, layers[2:], strict=False):
            if isinstance(norm, nn.BatchNorm2d) and isinstance(later, nn.Conv2d) and later.groups > 1:
                norm.weight.copy_(factor ** torch.rand(norm.num_features))
