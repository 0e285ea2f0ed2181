"""An operator of one's own, and how ONNX says it. PyTorch registers it as this file is imported."""

from typing import Any

import torch
from onnxscript import opset18 as op


@torch.library.custom_op("gates::soft_gate", mutates_args=(), tags=(torch.Tag.pointwise,))
def soft_gate(x: torch.Tensor, slope: float) -> torch.Tensor:
    """x * clip(slope * x + 0.5, 0, 1): a gate that opens with its own input, element by element."""
    return x * (slope * x + 0.5).clamp(0, 1)


@soft_gate.register_fake
def _(x: torch.Tensor, slope: float) -> torch.Tensor:
    return torch.empty_like(x)


def _keep(ctx: Any, inputs: tuple[torch.Tensor, float], output: torch.Tensor) -> None:
    ctx.save_for_backward(inputs[0])
    ctx.slope = inputs[1]


def _gradient(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
    (x,) = ctx.saved_tensors
    gate = ctx.slope * x + 0.5
    inside = ((gate > 0) & (gate < 1)).to(x.dtype)
    return gradient * (gate.clamp(0, 1) + inside * ctx.slope * x), None


soft_gate.register_autograd(_gradient, setup_context=_keep)


def soft_gate_onnx(x: Any, slope: float) -> Any:
    """The same in standard ONNX operators: what the recipe's `export: onnx: operators` names."""
    return op.Mul(x, op.Clip(op.Add(op.Mul(x, slope), 0.5), 0.0, 1.0))
