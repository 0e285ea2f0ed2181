"""What a graph computes from its weights alone, computed once: norms of weights, slices of packed ones, products."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

MOST = 2
"""Times as many numbers as it is made of that a constant may have: what is larger is cheaper to compute."""


def fold_constants(module: GraphModule) -> int:
    """Replace, in place, what is computed from weights alone by tensors of its own; how many were made.

    Weights that only these were made of are no longer read; what is random, or writes into a tensor, stays.
    """
    values: dict[Node, Any] = {}
    made = 0
    with torch.no_grad():
        for node in module.graph.nodes:
            if node.op == "get_attr":
                value = _attribute(module, str(node.target))
                if isinstance(value, Tensor):
                    values[node] = value
            elif _pure(node) and node.all_input_nodes and all(source in values for source in node.all_input_nodes):
                values[node] = _computed(node, values)
    for node in list(module.graph.nodes):
        value = values.get(node)
        if node.op != "call_function" or not isinstance(value, Tensor) or not _read_outside(node, values):
            continue
        if value.numel() > MOST * sum(_numel(values[source]) for source in node.all_input_nodes):
            continue
        _hold(module, node, value)
        made += 1
    module.graph.eliminate_dead_code()
    module.recompile()
    return made


def _pure(node: Node) -> bool:
    """Whether a call gives the same whenever it is made, and changes nothing."""
    if node.op != "call_function":
        return False
    if not isinstance(node.target, torch._ops.OpOverload):
        return getattr(node.target, "__name__", "") == "getitem"
    return not node.target._schema.is_mutable and torch.Tag.nondeterministic_seeded not in node.target.tags


def _computed(node: Node, values: dict[Node, Any]) -> Any:
    assert callable(node.target)
    arguments: Any = map_arg(node.args, lambda source: values[source])
    named: Any = map_arg(node.kwargs, lambda source: values[source])
    return node.target(*arguments, **named)


def _read_outside(node: Node, values: dict[Node, Any]) -> bool:
    return any(reader not in values for reader in node.users)


def _numel(value: Any) -> int:
    return value.numel() if isinstance(value, Tensor) else sum(map(_numel, value))


def _hold(module: GraphModule, node: Node, value: Tensor) -> None:
    name = f"{node.name}_constant"
    kept = value.detach().clone().contiguous()
    if kept.is_floating_point():
        module.register_parameter(name, nn.Parameter(kept))
    else:
        module.register_buffer(name, kept)
    with module.graph.inserting_before(node):
        held = module.graph.get_attr(name)
    held.meta = dict(node.meta)
    node.replace_all_uses_with(held)


def _attribute(module: nn.Module, path: str) -> object:
    owner, _, leaf = path.rpartition(".")
    return getattr(module.get_submodule(owner), leaf, None)
