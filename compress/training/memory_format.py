"""How four-dimensional tensors lie in memory: (N, C, H, W), or channels last, which is (N, H, W, C) and reads the same.

https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html
"""

import torch
from torch import Tensor, nn


def laid_out(tensor: Tensor, layout: torch.memory_format = torch.channels_last) -> Tensor:
    """A 4-D tensor in this layout; others as they are."""
    return tensor.contiguous(memory_format=layout) if tensor.ndim == 4 else tensor


def lay_out(module: nn.Module, layout: torch.memory_format = torch.channels_last) -> nn.Module:
    """The network, its 4-D weights laid out in place; their values stay."""
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = laid_out(tensor.data, layout)
    return module
