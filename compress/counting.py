"""What a network weighs, as measured on the network: parameters, multiply-accumulates, bytes, zeros."""

import copy

import torch
from torch import nn
from torch.fx import GraphModule
from torch.utils.flop_counter import FlopCounterMode

from artifacts.types import Arrays

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Linear)


def count(module: nn.Module, example: Arrays) -> dict[str, float]:
    """Parameters, MACs of one example, float bytes, and the share of zeros in the weights of its layers.

    MACs are those of convolutions and matrix products as they run (PyTorch's own counter, halved); the zeros are counted
    in the weights that the network multiplies with, biases and normalisation left out.
    """
    weights = prunable(module).values()
    total = sum(w.numel() for w in weights)
    zeros = sum(int((w == 0).sum()) for w in weights)
    size = sum(t.numel() * t.element_size() for t in module.state_dict().values())
    return {
        "parameters": float(sum(p.numel() for p in module.parameters())),
        "macs": float(macs(module, example)),
        "bytes": float(size),
        "sparsity": zeros / total if total else 0.0,
    }


def macs(module: nn.Module, example: Arrays) -> int:
    """Multiply-accumulates of one example."""
    clone = copy.deepcopy(module).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        clone(*(torch.from_numpy(a[:1]) for a in example.values()))
    return int(counter.get_total_flops()) // 2


def prunable(module: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of convolution and linear layers, by parameter name."""
    if isinstance(module, GraphModule):  # a folded graph has no layer objects left
        return {name: p for name, p in module.named_parameters() if p.ndim > 1}
    return {f"{n}.weight" if n else "weight": m.weight for n, m in module.named_modules() if isinstance(m, LAYERS)}
