"""Find where a converted ONNX file first diverges from the network that it was made from, or loses most of its precision."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch.fx import GraphModule, Interpreter, Node

from artifacts.types import Arrays, TorchModel
from compress.fold import fold, is_layer
from compress.quantizers.pt2e.streaming import Observer
from zoo.calling import arguments

LIMIT = 1e-3
"""Largest difference, in units of the tensor's own spread, that counts as the same."""


@dataclass(frozen=True)
class Divergence:
    """The one tensor of a file that tells most of why its outputs are wrong, and the tensors that it is computed from."""

    says: str
    layer: str
    """The dotted name of the layer, or the operator where it belongs to none."""
    tensor: str
    """The tensor's name in the file."""
    inputs: Arrays
    """What the network has for the tensors of the file that it is computed from, by their names there."""
    expected: NDArray[np.floating]
    """What the network has for it."""
    error: float | None = None
    """Of a quantized file: how much the tensor's error grows here, as root mean square in its spread."""

    def __str__(self) -> str:
        return self.says


class ActivationRecorder(Interpreter):
    """Runs a graph and keeps every float tensor, in order."""

    def __init__(self, module: GraphModule) -> None:
        super().__init__(module)
        self.found: dict[Node, NDArray[np.floating]] = {}

    def run_node(self, n: Node) -> object:
        """See `Interpreter`."""
        result = super().run_node(n)
        if n.op == "call_function" and isinstance(result, torch.Tensor) and result.is_floating_point():
            self.found[n] = result.numpy().copy()
        return result


class _Side:
    """The network and the file side by side, on the same inputs: their tensors, and which belong together by name."""

    @torch.no_grad()
    def __init__(self, model: TorchModel, path: Path, inputs: Arrays) -> None:
        folded = fold(model.module, model.signature)
        graph = ActivationRecorder(folded)
        graph.run(*arguments(folded, inputs))
        self.network, self.inputs = graph.found, inputs
        self.file = Observer(path).values(inputs)
        self.proto = onnx.load(path).graph
        self.namesakes = self._namesakes(folded.graph.output_node())
        self._rounded = self._dequantized()

    def _namesakes(self, output: Node) -> dict[Node, str]:
        """The tensors of the file that have a network tensor's name and shape; numbers at its end may be others."""
        theirs = _numbered(name for node in self.proto.node for name in node.output)
        ours = _numbered(node.name for node in self.network)
        there, here = (Counter(stem for stem, _ in places.values()) for places in (theirs, ours))
        # where an operator became several of its kind, places say nothing
        by_place = {(stem, at): name for name, (stem, at) in theirs.items() if there[stem] == here[stem]}
        found = {node: by_place.get(ours[node.name], "") for node in self.network}
        for node, name in zip(output.all_input_nodes, (o.name for o in self.proto.output), strict=False):
            found[node] = name
        return {n: t for n, t in found.items() if n in self.network and self._shape(t) == self.network[n].shape}

    def _dequantized(self) -> dict[str, str]:
        """What becomes of a tensor once it is quantized: a clip such as ReLU may happen only there."""
        read = {
            n.input[0]: n.output[0] for n in self.proto.node if n.op_type == "DequantizeLinear" and n.output[0] in self.file
        }
        pairs = {n.input[0]: n.output[0] for n in self.proto.node if n.op_type == "QuantizeLinear"}
        return {tensor: read[made] for tensor, made in pairs.items() if made in read}

    def rounded(self, node: Node) -> str:
        """The tensor that takes a node's place in a quantized file."""
        return self._rounded.get(self.namesakes[node], self.namesakes[node])

    def _shape(self, name: str) -> tuple[int, ...] | None:
        return self.file[name].shape if name in self.file else None

    def distances(self, node: Node) -> dict[str, float]:
        """How far every tensor of the file that has a node's shape is from it, in its spread."""
        value = self.network[node]
        spread = float(value.std()) + 1e-12
        same = {name: other for name, other in self.file.items() if other.shape == value.shape}
        return {name: float(np.abs(np.subtract(other, value)).max()) / spread for name, other in same.items()}

    def rms(self, node: Node) -> float:
        """How far the tensor in a node's place is from it, as root mean square in its spread."""
        value, other = self.network[node], self.file[self.rounded(node)]
        return float(np.sqrt(np.mean(np.subtract(other, value) ** 2))) / (float(value.std()) + 1e-12)

    def layer(self, node: Node) -> str:
        """The layers whose operators are fused into a node's tensor, or else the layer that it belongs to."""
        found: dict[str, None] = {}
        waiting = [node]
        while waiting:
            one = waiting.pop(0)
            if is_layer(one):
                found[layer_of(one)] = None
            else:
                waiting += [n for n in one.all_input_nodes if n in self.network and n not in self.namesakes]
        return " and ".join(found) or layer_of(node)

    def divergence(self, node: Node, tensor: str, known: Mapping[str, Node], says: str) -> Divergence:
        """What is to be told of a node's tensor, of which those that it is computed from are `known`."""
        fed = {name: self.network[known[name]] if name in known else self.inputs[name] for name in self._sources(tensor, known)}
        return Divergence(says, self.layer(node), tensor, fed, self.network[node])

    def _sources(self, tensor: str, known: Mapping[str, Node]) -> list[str]:
        """The nearest known tensors, or inputs of the file, that a tensor is computed from."""
        makers = {name: node for node in self.proto.node for name in node.output}
        found: dict[str, None] = {}
        seen: set[str] = set()
        waiting = list(makers[tensor].input)
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in known or name in self.inputs:
                found[name] = None
            elif name in makers:
                waiting += makers[name].input
        return sorted(found)


def first_divergence(model: TorchModel, path: Path, inputs: Arrays) -> Divergence | None:
    """The first operator of the network, in order, whose result no tensor of the file holds; none if all are found.

    Args:
        model: the network that the file was made from.
        path: the ONNX file.
        inputs: a few real examples.

    Returns:
        Its name, with the layer it belongs to and how far its tensor in the file is.
    """
    side = _Side(model, path, inputs)
    same: dict[str, Node] = {}
    for node in side.network:
        distances = side.distances(node)
        if not distances:
            continue  # fused away, or only a view
        nearest = min(distances, key=lambda name: distances[name])
        if distances[nearest] <= LIMIT:
            own = side.namesakes.get(node, nearest)
            same[own if distances[own] <= LIMIT else nearest] = node
            continue
        tensor = side.namesakes.get(node, nearest)
        if tensor in side.inputs:
            continue
        where = f"first divergence at {node.name!r} ({layer_of(node)})"
        return side.divergence(
            node, tensor, same, f"{where}: tensor {tensor!r} is off by {distances[tensor]:.3g} of its spread"
        )
    return None


def largest_growth(model: TorchModel, path: Path, inputs: Arrays) -> Divergence | None:
    """The operator at which the error of a quantized file grows most; none if the file has no tensor by its names.

    Every tensor of such a file is off. The error of an operator is that of its tensor, less the largest error among the
    tensors that it takes, each a root mean square in units of the tensor's spread.

    Args:
        model: the float network that the file was made from.
        path: the ONNX file, with the names that it had before it was quantized.
        inputs: a few real examples.
    """
    side = _Side(model, path, inputs)
    errors: dict[Node, float] = {}
    grown: dict[Node, float] = {}
    for node in side.network:
        before = max((errors[n] for n in node.all_input_nodes if n in errors), default=0.0)
        errors[node] = side.rms(node) if node in side.namesakes else before
        grown[node] = errors[node] - before
    if not side.namesakes:
        return None
    node = max(side.namesakes, key=lambda n: grown[n])
    tensor = side.rounded(node)
    says = (
        f"the error grows most at {node.name!r} ({side.layer(node)}): from {errors[node] - grown[node]:.3g} to "
        f"{errors[node]:.3g} of the spread (rms) of tensor {tensor!r}"
    )
    known = {side.rounded(n): n for n in side.namesakes if n is not node}
    return replace(side.divergence(node, tensor, known, says), error=grown[node])


def _numbered(names: Iterable[str]) -> dict[str, tuple[str, int]]:
    """Each name as its stem and how many came before with that stem: `add_25`, the first `add`, is ("add", 0)."""
    counts: dict[str, int] = {}
    found = {}
    for name in names:
        stem = re.sub(r"_\d+$", "", name)
        found[name] = (stem, counts.get(stem, 0))
        counts[stem] = counts.get(stem, 0) + 1
    return found


def layer_of(node: Node) -> str:
    """The dotted name of the layer that a node belongs to; its operator where it belongs to none."""
    stack = node.meta.get("nn_module_stack")
    if not stack:
        return str(node.target)
    return str(list(stack.values())[-1][0]).replace("L['self'].", "") or str(node.target)
