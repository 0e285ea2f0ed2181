"""Gradients of convolutions that PyTorch's CPU library takes wrongly, taken another way."""

import functools
import math

import torch
from torch import Tensor

NARROW = 16
"""oneDNN's widest block of input channels; a group with fewer is where it writes past its workspace."""


@functools.cache
def sound_gradients() -> None:
    """From here on no convolution's gradient is taken where oneDNN writes past its memory; for this process, once.

    The weight gradient of a 1x1 convolution with a stride, of channels-last input with fewer channels than a block of
    oneDNN's has, corrupts the heap (https://github.com/uxlfoundation/oneDNN/issues/6035, seen here with oneDNN 3.12 in
    PyTorch 2.13 on AVX2). Pruned networks have such layers in their shortcuts. Their tensors go in as (N, C, H, W).
    """
    original = torch.library.get_kernel("aten::convolution_backward", "CPU")

    def convolution_backward(
        keys: torch.DispatchKeySet,
        gradient: Tensor,
        inputs: Tensor,
        weight: Tensor,
        sizes: list[int] | None,
        stride: list[int],
        *rest: object,
    ) -> tuple[Tensor, Tensor, Tensor]:
        if _writes_past(weight, stride):
            inputs, weight = _plain(inputs), _plain(weight)
        made: tuple[Tensor, Tensor, Tensor] = original.call_boxed(keys, gradient, inputs, weight, sizes, stride, *rest)
        return made

    _library().impl("convolution_backward", convolution_backward, "CPU", with_keyset=True)  # type: ignore[no-untyped-call]


def _writes_past(weight: Tensor, stride: list[int]) -> bool:
    return weight.ndim > 3 and max(stride) > 1 and math.prod(weight.shape[2:]) == 1 and weight.shape[1] < NARROW


def _plain(tensor: Tensor) -> Tensor:
    """In the order (N, C, H, W), which the strides say even where sizes of 1 leave them open."""
    return tensor.flatten().view(tensor.shape)


@functools.cache
def _library() -> torch.library.Library:
    """What holds the operator above; it is withdrawn when this is garbage."""
    return torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
