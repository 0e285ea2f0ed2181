"""Fake quantization with straight-through gradients (Jacob et al. 2018, arXiv:1712.05877), as ONNX Runtime will compute it.

Activations: unsigned 8 bit, asymmetric, per tensor. Weights: signed 8 bit, symmetric, per output channel.
"""

import math

import torch
from torch import Tensor, nn

from artifacts.types import Range

QUANTIZED = frozenset({
    "conv1d", "conv2d", "conv3d", "linear", "matmul", "bmm", "add", "add_", "sub", "mul", "cat", "relu", "relu_",
    "relu6", "hardtanh", "hardtanh_", "leaky_relu", "sigmoid", "hardswish", "silu", "gelu", "tanh", "softmax", "mean",
    "avg_pool2d", "adaptive_avg_pool2d", "avg_pool1d", "adaptive_avg_pool1d",
})  # fmt: skip
"""Operators whose result is rounded to 8 bit by an integer runtime; the others only move values about."""

CLAMPS = frozenset({"relu", "relu_", "relu6", "hardtanh", "hardtanh_"})
"""Operators that an integer runtime fuses into the one before them."""


def weight_fake_quantize(weight: Tensor, limit: float = 127, per_channel: bool = True) -> Tensor:
    """Weights (out, ...) rounded to steps of which the largest has `limit` (8 bits: 127, 4 bits: 7).

    One size of step per output channel, or one for all.
    """
    bound = math.ceil(limit)
    if not per_channel:
        largest = float(weight.detach().abs().max())
        return torch.fake_quantize_per_tensor_affine(weight, max(largest, 1e-12) / limit, 0, -bound, bound)
    flat = weight.detach().abs().flatten(1).amax(1).clamp_min(1e-12)
    zero_points = torch.zeros(len(flat), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, flat / limit, zero_points, 0, -bound, bound)


def affine(low: float, high: float) -> tuple[float, int]:
    """Scale and zero point of unsigned 8 bit for a range; zero is always representable."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / 255, 1e-12)
    return scale, max(0, min(255, round(-low / scale)))


class FakeQuantize(nn.Module):
    """Rounds an activation to 256 levels of a range that follows the data until it is frozen."""

    low: Tensor
    high: Tensor
    frozen: Tensor

    def __init__(self, limits: Range, momentum: float = 0.99) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("low", torch.tensor(limits[0]))
        self.register_buffer("high", torch.tensor(limits[1]))
        self.register_buffer("frozen", torch.tensor(False))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, on the grid; in float32, since mixed precision's narrower floats would blur the range."""
        x = x.float()
        if self.training and not bool(self.frozen):
            with torch.no_grad():
                self.low.lerp_(x.amin(), 1 - self.momentum)
                self.high.lerp_(x.amax(), 1 - self.momentum)
        scale, zero_point = affine(*self.limits)
        return torch.fake_quantize_per_tensor_affine(x, scale, zero_point, 0, 255)

    @property
    def limits(self) -> Range:
        """The range that is represented."""
        return float(self.low), float(self.high)
