"""What a network weighs, as measured on the network: parameters, multiply-accumulates, bytes, zeros."""

import copy

import torch
import torch_pruning as tp
from torch import nn

from artifacts.types import Arrays


def count(module: nn.Module, example: Arrays) -> dict[str, float]:
    """Parameters, MACs of one example, float bytes, and the share of zero weights in convolution and linear layers.

    The zeros are counted in the weights that the network multiplies with; biases and normalisation are left out.
    """
    inputs = tuple(torch.from_numpy(a[:1]) for a in example.values())
    macs, parameters = tp.utils.count_ops_and_params(copy.deepcopy(module).eval(), inputs if len(inputs) > 1 else inputs[0])
    weights = list(prunable(module).values())
    total = sum(w.numel() for w in weights)
    zeros = sum(int((w == 0).sum()) for w in weights)
    state = module.state_dict().values()
    size = sum(t.numel() * t.element_size() for t in state)
    return {
        "parameters": float(parameters), "macs": float(macs), "bytes": float(size),
        "sparsity": zeros / total if total else 0.0,
    }


def prunable(module: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of convolution and linear layers, by parameter name."""
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)
    return {f"{n}.weight" if n else "weight": m.weight for n, m in module.named_modules() if isinstance(m, kinds)}
