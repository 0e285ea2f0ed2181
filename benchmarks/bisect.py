"""Find where a converted ONNX file first departs from the network that it was made from."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.fx import GraphModule, Interpreter, Node

from artifacts.types import Arrays, TorchModel
from compress.fold import fold
from compress.quantizers.streaming import Observer

LIMIT = 1e-3
"""Largest difference, in units of the tensor's own spread, that counts as the same."""


class _Everything(Interpreter):
    """Runs a graph and keeps every float tensor, in order."""

    def __init__(self, module: GraphModule) -> None:
        super().__init__(module)
        self.found: dict[Node, np.ndarray[Any, Any]] = {}

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        if n.op == "call_function" and isinstance(result, torch.Tensor) and result.is_floating_point():
            self.found[n] = result.numpy().copy()
        return result


@torch.no_grad()
def first_departure(model: TorchModel, path: Path, inputs: Arrays) -> str | None:
    """The first operator of the network, in order, whose result no tensor of the file holds; none if all are found.

    Args:
        model: the network that the file was made from.
        path: the ONNX file.
        inputs: a few real examples.

    Returns:
        Its name, with the layer it belongs to and how far the nearest tensor of its shape is.
    """
    graph = _Everything(fold(model.module, model.signature))
    graph.run(*(torch.from_numpy(a) for a in inputs.values()))
    there = Observer(path).values(inputs)
    for node, value in graph.found.items():
        spread = float(value.std()) + 1e-12
        distances = {
            name: float(np.abs(other - value).max()) / spread for name, other in there.items() if other.shape == value.shape
        }
        if not distances:
            continue  # fused away, or only a view
        name, distance = min(distances.items(), key=lambda item: item[1])
        if not distance <= LIMIT:
            where = f"first departure at {node.name!r} ({_layer(node)})"
            return f"{where}: nearest tensor {name!r} is off by {distance:.3g} of its spread"
    return None


def _layer(node: Node) -> str:
    stack = node.meta.get("nn_module_stack")
    if not stack:
        return str(node.target)
    return str(list(stack.values())[-1][0]).replace("L['self'].", "") or str(node.target)
