"""Quantization-aware training on the folded graph: what is trained is what will be deployed, operator for operator."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node

from artifacts.types import Range, Split, TorchModel
from compress.configs import QuantizeConfig
from compress.distillation.distil import finetuning_loss
from compress.fakequant import CLAMPS, QUANTIZED, FakeQuantize, weight_fake_quantize
from compress.fold import fold, is_layer, operator
from compress.pruning.unstructured import masks_for
from compress.quantizers.layers import check_layers, is_kept
from compress.quantizers.rounding import limit_of
from compress.training.loop import Progress, Training, fit, silent, subset, tensors
from zoo.calling import arguments

DEFAULT = QuantizeConfig()
"""Weights in 8 bits per channel, every layer."""

FREEZE_AFTER = 0.5
"""Share of the training after which the ranges stand still."""


def quantized_nodes(graph: torch.fx.Graph) -> list[Node]:
    """The nodes whose results an integer runtime rounds: inputs, and operators that are not fused into a clamp."""

    def fused(node: Node) -> bool:
        users = list(node.users)
        return len(users) == 1 and operator(users[0]) in CLAMPS and operator(node) not in CLAMPS

    return [n for n in graph.nodes if n.op == "placeholder" or (operator(n) in QUANTIZED and not fused(n))]


def rounded_nodes(graph: torch.fx.Graph, keep_float: Iterable[str]) -> list[str]:
    """The nodes whose results are still rounded when the layers in `keep_float` are not: their pairs come from neighbors."""
    keep = tuple(keep_float)

    def integer(node: Node) -> bool:
        return operator(node) in QUANTIZED and operator(node) not in CLAMPS and not is_kept(node, keep)

    def producer(node: Node) -> Node:
        return producer(node.all_input_nodes[0]) if operator(node) in CLAMPS else node

    return [n.name for n in quantized_nodes(graph) if integer(producer(n)) or any(map(integer, n.users))]


class _Ranges(Interpreter):
    """Runs a graph and keeps the smallest and largest value of chosen nodes."""

    def __init__(self, module: GraphModule, names: set[str]) -> None:
        super().__init__(module)
        self.names, self.found = names, dict[str, Range]()

    def run_node(self, n: Node) -> object:
        result = super().run_node(n)
        if n.name in self.names and isinstance(result, Tensor) and result.is_floating_point():
            low, high = self.found.get(n.name, (float("inf"), float("-inf")))
            self.found[n.name] = (min(low, float(result.min())), max(high, float(result.max())))
        return result


@torch.no_grad()
def observe(module: GraphModule, split: Split, indices: NDArray[np.int64]) -> dict[str, Range]:
    """The range of every quantized node over some examples, read batch by batch."""
    ranges = _Ranges(module, {n.name for n in quantized_nodes(module.graph)})
    for start in range(0, len(indices), 64):
        inputs, _ = tensors(split, indices[start : start + 64])
        ranges.run(*arguments(module, inputs))
    return ranges.found


def prepare(
    module: GraphModule, ranges: dict[str, Range], config: QuantizeConfig = DEFAULT, limit: float | None = None
) -> GraphModule:
    """A copy of a folded graph with fake quantization on weights and on the nodes that have a range.

    Of the config: `weight_bits`, `per_channel` and `keep_float` are used; `limit` is how many steps the largest
    weight has, if not as many as `weight_bits` give it.
    """
    import copy

    made = GraphModule(copy.deepcopy(module), copy.deepcopy(module.graph))
    graph = made.graph
    for node in list(graph.nodes):
        own = is_layer(node) and isinstance(node.args[1], Node) and node.args[1].op == "get_attr"
        if own and not is_kept(node, config.keep_float):
            with graph.inserting_before(node):
                options = (limit or limit_of(config.weight_bits), config.per_channel)
                weight = graph.call_function(weight_fake_quantize, (node.args[1], *options))
            node.args = (node.args[0], weight, *node.args[2:])
        if node.name in ranges:
            made.add_submodule(f"fq_{node.name}", FakeQuantize(ranges[node.name]))
            with graph.inserting_after(node):
                rounded = graph.call_module(f"fq_{node.name}", (node,))
            node.replace_all_uses_with(rounded, delete_user_cb=lambda user, kept=rounded: user is not kept)
    made.recompile()
    return made


def learned(prepared: GraphModule) -> dict[str, Range]:
    """The ranges that a prepared graph ended with."""
    return {n.removeprefix("fq_"): m.limits for n, m in prepared.named_modules() if isinstance(m, FakeQuantize)}


def simulate(model: TorchModel, config: QuantizeConfig = DEFAULT, limit: float | None = None) -> GraphModule:
    """The fake-quantized network of a model that came out of `train_quantized` with this config.

    `limit`: how many steps the largest weight has in the file, if not as many as `weight_bits` give it.
    """
    return prepare(fold(model.module, model.signature), dict(model.ranges), config, limit).eval()


def train_quantized(
    model: TorchModel,
    config: QuantizeConfig,
    split: Split,
    *,
    seed: int,
    work: Path | None = None,
    progress: Progress = silent,
) -> TorchModel:
    """Fold `model`, train it with fake quantization, and return it folded with the ranges that it learned.

    The float model teaches with `kd_weight`; ranges start from `calibration_samples` examples, follow the training, and
    stand still in its second half. `model` itself is left as it is.
    """
    check_layers(model.module, config.keep_float)
    folded = fold(model.module, model.signature)
    ranges = observe(folded, split, subset(split, config.calibration_samples, seed))
    ranges = {name: ranges[name] for name in rounded_nodes(folded.graph, config.keep_float) if name in ranges}
    prepared = prepare(folded, ranges, config)
    loss = finetuning_loss(folded, config)

    def freeze(module: nn.Module, share: float) -> None:
        for part in module.modules():
            if isinstance(part, FakeQuantize):
                part.frozen.fill_(share >= FREEZE_AFTER)

    state = work / "qat.state" if work else None
    masks = masks_for(model.masks, model.module, prepared)
    fit(prepared, loss, Training(split, config.training(config.qat_epochs), seed, state, progress, masks, on_epoch=freeze))
    trained = prepared.state_dict()
    folded.load_state_dict({name: trained[name] for name in folded.state_dict()})
    return replace(model, module=folded, ranges=learned(prepared), masks=masks)
