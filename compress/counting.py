"""What a network weighs, as measured on the network: parameters, multiply-accumulates, bytes, zeros."""

import copy
from collections.abc import Callable

import torch
from torch import nn
from torch.fx import GraphModule

from artifacts.types import Arrays
from compress.macs.watching import Tally, watch
from compress.macs.weights import Weights

Cost = Callable[[nn.Module], float]
"""What a network costs, measured on the network itself: MACs, parameters, bytes, milliseconds."""

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Linear)


def count(module: nn.Module, example: Arrays) -> dict[str, float]:
    """Parameters, MACs of one example, float bytes, and the share of zeros in the weights that it multiplies with."""
    return count_all(module, example)[0]


def count_all(module: nn.Module, example: Arrays) -> tuple[dict[str, float], tuple[str, ...]]:
    """What `count` gives, and the operators that may multiply and are not counted.

    MACs are those of the operators that really run. The zeros are counted in all weights that multiply, also those of
    recurrent layers and of attention; biases, norms and embeddings are left out.
    """
    clone = copy.deepcopy(module)  # a call may change what it holds
    tally, weights = Tally(), Weights(clone)
    watch(clone, example, tally, weights)
    found = {
        "parameters": float(parameters(module)),
        "macs": float(tally.macs),
        "bytes": float(size(module)),
        "sparsity": weights.sparsity(),
    }
    return found, tally.uncounted


def cost_of(metric: str, example: Arrays) -> Cost:
    """The function that measures `macs` (of one example), `parameters` or `bytes` of a network."""
    return {"macs": lambda module: macs(module, example), "parameters": parameters, "bytes": size}[metric]


def parameters(module: nn.Module) -> int:
    """Trainable numbers, those that layers share counted once."""
    return sum(p.numel() for p in module.parameters())


def size(module: nn.Module) -> int:
    """Bytes of all parameters and buffers, in the precision they are held in."""
    return sum(t.numel() * t.element_size() for t in module.state_dict().values())


def macs(module: nn.Module, example: Arrays) -> int:
    """Multiply-accumulates of one example; of branches and loops on data those of the path that it takes."""
    tally = Tally()
    watch(copy.deepcopy(module), example, tally)
    return tally.macs


def prunable(module: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of convolution and linear layers, by parameter name; one that layers share comes once."""
    if isinstance(module, GraphModule):  # a folded graph has no layer objects left
        return {name: p for name, p in module.named_parameters() if p.ndim > 1}
    layers = [(n, m) for n, m in module.named_modules() if isinstance(m, LAYERS)]
    first = {m.weight: n for n, m in reversed(layers)}
    return {f"{n}.weight" if n else "weight": m.weight for n, m in layers if first[m.weight] == n}
