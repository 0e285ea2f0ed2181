"""The network whose weights are rounded as a file stores them: what such a file is held against."""

import torch
from torch import Tensor, nn
from torch.fx import Node

from artifacts.types import TorchModel
from compress.configs import QuantizeConfig
from compress.fakequant import weight_fake_quantize
from compress.fold import fold, is_layer, operator
from compress.quantizers import QUANTIZERS
from compress.quantizers.isa import has_vnni
from compress.quantizers.layers import is_kept

WEIGHT_ONLY = {"int8-weights": 8, "int4-weights": 4}
"""Schemes that round weights in blocks, and to how many bits."""


def limit_of(bits: int) -> int:
    """The largest value of the symmetric grid: 127 for 8 bits, 7 for 4."""
    return int(2 ** (bits - 1) - 1)


def stored_limit(quantizer: str | None, config: QuantizeConfig) -> float:
    """How many steps the largest weight has in the file that a quantizer makes of trained weights on this machine."""
    whole = float(limit_of(config.weight_bits))
    halved = QUANTIZERS.find(quantizer).halved_limit if quantizer else None
    return halved if halved is not None and config.weight_bits == 8 and not has_vnni() else whole


def rounds_weights(config: QuantizeConfig) -> bool:
    """Whether the rounding of weights alone is more than the noise of int8, so that it must be part of the comparison."""
    return config.scheme in WEIGHT_ONLY or (config.scheme == "int8" and config.weight_bits < 8)


@torch.no_grad()
def rounded(model: TorchModel, config: QuantizeConfig) -> nn.Module:
    """A folded copy of the network with the weights that the file of this scheme holds; activations stay in float."""
    module = fold(model.module, model.signature)
    for node in module.graph.nodes:
        blocks = config.scheme in WEIGHT_ONLY
        wanted = operator(node) in ("linear", "matmul") if blocks else is_layer(node)
        if not wanted or is_kept(node, config.keep_float):
            continue
        weight = node.args[1]
        if not (isinstance(weight, Node) and weight.op == "get_attr"):
            continue
        owner, _, leaf = str(weight.target).rpartition(".")
        part = module.get_submodule(owner)
        value: Tensor = getattr(part, leaf)
        if blocks:
            turned = value if operator(node) == "linear" else value.T
            made = blockwise(turned, WEIGHT_ONLY[config.scheme], config.block_size)
            made = made if operator(node) == "linear" else made.T
        else:
            made = weight_fake_quantize(value, limit_of(config.weight_bits), config.per_channel)
        setattr(part, leaf, nn.Parameter(made.contiguous(), requires_grad=False))
    return module


def blockwise(weight: Tensor, bits: int, block: int) -> Tensor:
    """Weights (out, in) rounded in blocks of `block` inputs as ONNX Runtime's MatMulNBits holds them, symmetric.

    A block's value of largest magnitude, with its sign, becomes the lowest level -2^(bits-1).
    """
    rows, columns = weight.shape
    padded = nn.functional.pad(weight, (0, -columns % block)).view(rows, -1, block)
    largest = padded.gather(2, padded.abs().argmax(2, keepdim=True))
    half = 2 ** (bits - 1)
    scale = largest / -half
    level = torch.where(scale == 0, 0.0, padded / scale).round().clamp(-half, half - 1)
    made: Tensor = (level * scale).view(rows, -1)[:, :columns]
    return made
