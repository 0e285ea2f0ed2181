"""A folded graph's weights back in the network's own modules, for quantizers that read modules."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from artifacts.errors import ModelError
from compress.fold import operator
from compress.guarding.equalization import layer_name, layers, parameter
from zoo.outputs import named_outputs

NORMS = nn.modules.batchnorm._BatchNorm
TOLERANCE = 1e-3
"""Largest difference of an output from the graph's, in units of the output's standard deviation."""


@torch.no_grad()
def refold(module: nn.Module, graph: GraphModule, inputs: Sequence[Tensor]) -> nn.Module:
    """A copy of `module` that holds the weights of its folded graph, and the identity where batch norms were.

    A ReLU6 that is a ReLU in the graph becomes one here. The copy is run against the graph on `inputs` before it is given.

    Raises:
        ModelError: the weights do not lie in layers of their own, so the module cannot hold what the graph computes.
    """
    made = copy.deepcopy(module).eval()
    read = {str(n.target).rpartition(".")[0] for n in graph.graph.nodes if n.op == "get_attr"}
    for node in layers(graph):
        layer = _layer(made, layer_name(node))
        weight, bias = parameter(graph, node.args[1]), parameter(graph, node.args[2] if len(node.args) > 2 else None)
        assert weight is not None
        layer.weight = nn.Parameter(weight.clone())
        layer.register_parameter("bias", None if bias is None else nn.Parameter(bias.clone()))
    for name, part in list(made.named_modules()):
        if isinstance(part, NORMS) and name not in read:
            made.set_submodule(name, nn.Identity())
    for node in graph.graph.nodes:
        path = next(reversed([p for p, _ in (node.meta.get("nn_module_stack") or {}).values()]), "")
        if operator(node) == "relu" and isinstance(_find(made, path), nn.ReLU6):
            made.set_submodule(path, nn.ReLU())
    expected = named_outputs(graph(*inputs))
    for name, value in named_outputs(made(*inputs)).items():
        if not float((value - expected[name]).abs().max()) <= TOLERANCE * (float(expected[name].std()) + 1e-6):
            raise ModelError("the network's modules cannot hold the folded weights: some are used twice or by functions.")
    return made


def _layer(module: nn.Module, name: str) -> nn.Module:
    found = _find(module, name)
    if not isinstance(found, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
        raise ModelError(f"the weights at {name or 'the top'!r} are not those of a convolution or linear layer.")
    return found


def _find(module: nn.Module, name: str) -> nn.Module | None:
    try:
        return module.get_submodule(name)
    except AttributeError:
        return None
