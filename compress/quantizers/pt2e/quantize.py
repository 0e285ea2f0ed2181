"""What the PT2E quantizers share: scales from calibration or from training, and the conversion.

PT2E: https://docs.pytorch.org/ao/stable/pt2e_quantization/pt2e_quant_ptq.html
"""

import warnings
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.observer import ObserverBase
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import Quantizer

from artifacts.errors import ModelError
from artifacts.types import Range, TorchModel
from compress.fakequant import CLAMPS, QUANTIZED, affine
from compress.fold import attribute, fold, is_layer, operator
from compress.quantizers import Calibration
from compress.quantizers.layers import names_layer
from compress.quantizers.rounding import limit_of
from compress.training.loop import tensors

JOINS = ("cat", "stack")
"""Operators that put tensors together."""


class Settled(ObserverBase):  # type: ignore[misc]
    """An observer that was told its scale: it takes the place of `other`, and keeps its type and its scheme."""

    def __init__(self, other: ObserverBase, scale: Tensor, zero_point: Tensor, limits: tuple[int, int]) -> None:
        super().__init__(dtype=other.dtype, is_dynamic=False)
        self.qscheme, self.ch_axis = other.qscheme, getattr(other, "ch_axis", 0)
        self.quant_min, self.quant_max = limits
        self.register_buffer("scale", scale)
        self.register_buffer("zero_point", zero_point)

    def forward(self, x: Tensor) -> Tensor:
        """Any tensor, as it came."""
        return x

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Scales and zero points, one or one per channel."""
        return self.scale, self.zero_point


def convert(
    graph: GraphModule,
    quantizer: Quantizer,
    calibration: Calibration,
    indices: NDArray[np.int64],
    batch: int,
    *,
    exact: bool = False,
    unfit: Callable[[Node, Tensor], bool] = lambda layer, weight: False,
) -> nn.Module:
    """An exported graph with the quantizer's pairs of quantize and dequantize.

    Ranges that were learned in training are used where the quantizer rounds the same tensor; all others are observed over
    the examples at `indices`, `batch` at a time. The network's layers in `keep_float` stay as they are.

    Args:
        graph: as torch.export makes it; it is changed.
        quantizer: of PT2E.
        calibration: the examples, the config and the network.
        indices: of the examples to observe.
        batch: how many examples the graph takes.
        exact: weights are scaled as training scaled them, where PT2E's observers have a smallest scale of 2^-12; learned
            ranges imply it.
        unfit: whether a layer, by its call and its weight (out, in, ...), must stay in float too.

    Raises:
        ModelError: the learned ranges belong to another graph.
    """
    model, config = calibration.model, calibration.config
    ranges = shared(graph, ranges_by_node(graph, model)) if model.ranges else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared = prepare_pt2e(graph, quantizer)
        _release(
            prepared,
            lambda layer, weight: (
                names_layer(str(weight.target), config.keep_float) or unfit(layer, attribute(prepared, weight))
            ),
        )
        settle_activations(prepared, ranges)
        if exact or ranges:
            settle_weights(prepared, limit_of(config.weight_bits), config.per_channel)
        with torch.no_grad():
            for start in range(0, len(indices), batch):
                inputs, _ = tensors(calibration.split, indices[start : start + batch])
                prepared(*(inputs[spec.name] for spec in model.signature.inputs))
        made: nn.Module = convert_pt2e(prepared)
    return made


def ranges_by_node(graph: GraphModule, model: TorchModel) -> dict[str, Range]:
    """The learned ranges by the names of an exported graph, whose operators must be those that were trained, in order.

    Raises:
        ModelError: they are not.
    """
    trained, here = _rounded(fold(model.module, model.signature)), _rounded(graph)
    if [operator(n) for n in trained] != [operator(n) for n in here]:
        raise ModelError("the learned ranges belong to another graph than the one that is exported; train it again.")
    return {b.name: model.ranges[a.name] for a, b in zip(trained, here, strict=True) if a.name in model.ranges}


def shared(module: GraphModule, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """The ranges, one for all that is put together: integer runtimes join tensors without computing, so on one grid."""
    made = dict(ranges)
    joins = [node for node in module.graph.nodes if operator(node) in JOINS and node.name in made]
    for _ in joins:  # what is joined may be joined again
        for node in joins:
            sources = [_source(one) for one in node.all_input_nodes]
            # weights that are joined with activations have no range of their own
            made |= {s.name: _extent(attribute(module, s)) for s in sources if s.op == "get_attr" and s.name not in made}
            members = [name for name in (node.name, *(s.name for s in sources)) if name in made]
            lows, highs = zip(*(made[name] for name in members), strict=True)
            made |= dict.fromkeys(members, (min(lows), max(highs)))
    return made


def _extent(values: Tensor) -> Range:
    return float(values.min()), float(values.max())


def _source(node: Node) -> Node:
    """The operator whose rounded result a value is: its own, or that of what was moved."""
    while operator(node) not in QUANTIZED and len(node.all_input_nodes) == 1:
        node = node.all_input_nodes[0]
    return node


def _rounded(module: GraphModule) -> list[Node]:
    return [n for n in module.graph.nodes if n.op == "placeholder" or operator(n) in QUANTIZED]


def observers(module: GraphModule) -> dict[Node, ObserverBase]:
    """The calls of observers in a prepared graph."""
    parts = dict(module.named_modules(remove_duplicate=False))
    calls = [n for n in module.graph.nodes if n.op == "call_module"]
    return {n: parts[str(n.target)] for n in calls if isinstance(parts[str(n.target)], ObserverBase)}


def settle_activations(prepared: GraphModule, ranges: dict[str, Range]) -> int:
    """Replace the observers of tensors whose range was learned; how many were replaced.

    Each has a scale of its own then, also where the quantizer would have an operator's result share its input's.
    """
    seen = observers(prepared)
    count = 0
    for call, observer in seen.items():
        limits = _limits(call.all_input_nodes[0], ranges, seen)
        if limits is None:
            continue
        low, high = int(observer.quant_min), int(observer.quant_max)
        scale, zero_point = affine(*limits)
        steps = (high - low) / 255  # fewer where the quantizer keeps to 7 bits
        settled = torch.tensor([scale / steps]), torch.tensor([low + round(zero_point * steps)], dtype=torch.int32)
        prepared.set_submodule(str(call.target), Settled(observer, *settled, (low, high)))
        count += 1
    return count


def _limits(node: Node, ranges: dict[str, Range], seen: dict[Node, ObserverBase]) -> Range | None:
    """The range of a value: its own, that of what it was moved from, or that of the clamp that is all that reads it."""
    if node.name in ranges:
        return ranges[node.name]
    if node in seen or (node.op == "call_function" and operator(node) not in QUANTIZED):
        sources = node.all_input_nodes
        return _limits(sources[0], ranges, seen) if len(sources) == 1 else None
    readers = [r for user in node.users for r in (user.users if user in seen else [user])]
    if len(readers) == 1 and operator(readers[0]) in CLAMPS:
        return ranges.get(readers[0].name)
    return None


def settle_weights(prepared: GraphModule, limit: int, per_channel: bool) -> int:
    """Scale the weights (out, ...) of convolutions and linear layers to -limit..limit exactly; how many were scaled."""
    seen = observers(prepared)
    count = 0
    for layer in prepared.graph.nodes:
        call = layer.args[1] if is_layer(layer) else None
        if not isinstance(call, Node) or call not in seen or call.all_input_nodes[0].op != "get_attr":
            continue
        weight = attribute(prepared, call.all_input_nodes[0])
        channels = seen[call].qscheme in (torch.per_channel_symmetric, torch.per_channel_affine)
        largest = weight.detach().abs().flatten(1).amax(1)
        if not (per_channel and channels):
            # one scale for the whole weight; written once for each channel where the kernels want it so
            largest = largest.amax().expand(len(largest) if channels else 1)
        scale = largest.clamp_min(1e-12) / limit
        zero = torch.zeros(len(scale), dtype=torch.int32)
        prepared.set_submodule(str(call.target), Settled(seen[call], scale.contiguous(), zero, (-limit, limit)))
        count += 1
    return count


def _release(prepared: GraphModule, in_float: Callable[[Node, Node], bool]) -> None:
    """Give the layers that stay in float their inputs and weights without observers; told by call and weight's node."""
    seen = observers(prepared)
    for node in prepared.graph.nodes:
        weight = node.args[1] if is_layer(node) else None
        plain = weight.all_input_nodes[0] if isinstance(weight, Node) and weight in seen else None
        if plain is None or not in_float(node, plain):
            continue
        for call in [n for n in node.all_input_nodes if n in seen]:
            node.replace_input_with(call, call.all_input_nodes[0])
    for call in reversed(list(seen)):
        if not call.users:
            prepared.graph.erase_node(call)
    prepared.recompile()
