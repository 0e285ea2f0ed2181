"""A network with the tensors inside it as further outputs: what a runtime that shows none of them can be asked for instead."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch.fx import Graph, GraphModule, Node
from torch.fx.graph import CodeGen
from torch.utils._pytree import tree_leaves

from artifacts.specs import Dimension, Signature, TensorSpec
from artifacts.types import TorchModel
from compress.fold import fold, operator


def expose(model: TorchModel) -> TorchModel:
    """The folded network, whose outputs are followed by every other float tensor that it computes, named as its operator.

    Left out are those with a size that is computed from the dynamic dimensions.

    Raises:
        ModelError: torch.export cannot trace the network.
    """
    folded = fold(model.module, model.signature)
    graph = folded.graph
    sizes = _sizes(graph, model.signature)
    end = graph.output_node()
    returned = [leaf for leaf in tree_leaves(end.args) if isinstance(leaf, Node)]
    inside = list(_inside(graph, sizes, returned))
    kept = [node for node, _ in inside]
    if any(_in_place(node) for node in graph.nodes):
        kept = [_copied(graph, node) for node in kept]
    with graph.inserting_before(end):
        graph.output((*returned, *kept))
    graph.erase_node(end)
    # inputs and outputs are plain tuples now
    graph.set_codegen(CodeGen())
    further = tuple(TensorSpec(node.name, _dtype(node), shape) for node, shape in inside)
    signature = replace(model.signature, outputs=(*model.signature.outputs, *further))
    return replace(model, module=GraphModule(folded, graph).eval(), signature=signature)


def _inside(graph: Graph, sizes: Mapping[str, str], returned: list[Node]) -> Iterator[tuple[Node, tuple[Dimension, ...]]]:
    for node in graph.nodes:
        value = node.meta.get("val")
        if node.op != "call_function" or node in returned or not isinstance(value, torch.Tensor):
            continue
        shape = tuple(int(d) if isinstance(d, int) else sizes.get(str(d)) for d in value.shape)
        if value.is_floating_point() and value.ndim and None not in shape:
            yield node, tuple(d for d in shape if d is not None)


def _in_place(node: Node) -> bool:
    return node.op == "call_function" and operator(node).endswith("_")


def _copied(graph: Graph, node: Node) -> Node:
    """A copy of the node's result, from before anything changes it."""
    with graph.inserting_after(node):
        return graph.call_function(torch.ops.aten.clone.default, (node,))


def _sizes(graph: Graph, signature: Signature) -> dict[str, str]:
    """PyTorch's symbols of the dynamic dimensions -> their names."""
    found: dict[str, str] = {}
    fed = [node for node in graph.nodes if node.op == "placeholder"]
    for node, spec in zip(fed, signature.inputs, strict=True):
        for size, name in zip(node.meta["val"].shape, spec.shape, strict=True):
            if isinstance(name, str):
                found[str(size)] = name
    return found


def _dtype(node: Node) -> str:
    return str(node.meta["val"].dtype).removeprefix("torch.")
