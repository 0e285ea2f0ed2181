"""Empirical bias correction (Nagel et al. 2019, arXiv:1906.04721, section 4.2 and appendix D) on the folded graph.

Rounding the weights of a layer shifts the mean of each of its outputs. The shift is measured on calibration examples, layer
by layer with everything before it already rounded and corrected, and is taken off the bias.
"""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from compress.fakequant import weight_fake_quantize
from compress.fold import operator
from compress.guarding.equalization import layers, parameter


@torch.no_grad()
def correct(graph: GraphModule, inputs: Sequence[Tensor], *, per_channel: bool = True, bits: int = 8) -> GraphModule:
    """A copy of a folded graph whose biases make up for rounding its weights; the weights themselves stay float.

    `inputs` are calibration examples, one tensor (N, ...) for each input; `per_channel` and `bits` say how weights will be
    rounded (signed, symmetric). A bias that several layers share is left as it is.
    """
    made = GraphModule(copy.deepcopy(graph), copy.deepcopy(graph.graph))
    wanted = {node: _bias_of(made, node) for node in layers(made)}
    weights = {node.args[1] for node in wanted}
    plain: dict[Node, Tensor] = {}
    rounded: dict[Node, Tensor] = {}
    left = {node: len(node.users) for node in made.graph.nodes}
    given = iter(inputs)
    for node in made.graph.nodes:
        if node.op == "placeholder":
            plain[node] = rounded[node] = next(given)
        elif node.op == "get_attr":
            value = parameter(made, node)
            assert value is not None
            plain[node] = value.clone()
            rounded[node] = weight_fake_quantize(value, 2 ** (bits - 1) - 1, per_channel) if node in weights else plain[node]
        elif node.op == "output":
            break
        else:
            plain[node], rounded[node] = _call(made, node, plain), _call(made, node, rounded)
        if node in wanted:
            _shift(made, node, wanted[node], plain[node], rounded)
        for before in node.all_input_nodes:  # memory holds only what is still to be read
            left[before] -= 1
            if not left[before]:
                del plain[before], rounded[before]
    made.graph.lint()
    made.recompile()
    return made


def _call(graph: GraphModule, node: Node, values: dict[Node, Tensor]) -> Tensor:
    arguments = map_arg(node.args, values.__getitem__)
    options = map_arg(node.kwargs, values.__getitem__)
    call: Callable[..., Tensor]
    if node.op == "call_module":
        call = graph.get_submodule(str(node.target))
    elif node.op == "call_method":
        call, arguments = getattr(arguments[0], str(node.target)), arguments[1:]
    else:
        assert callable(node.target)
        call = node.target
    return call(*arguments, **options)


def _shift(graph: GraphModule, node: Node, bias: Tensor | None, plain: Tensor, rounded: dict[Node, Tensor]) -> None:
    """Take the mean shift of each output channel off the layer's bias, and off what flows on."""
    if bias is None:
        return
    axis = plain.ndim - 1 if operator(node) == "linear" else 1
    others = [at for at in range(plain.ndim) if at != axis]
    shift = (rounded[node] - plain).mean(others)
    bias -= shift
    shape = [1] * plain.ndim
    shape[axis] = -1
    rounded[node] = rounded[node] - shift.view(shape)


def _bias_of(graph: GraphModule, layer: Node) -> Tensor | None:
    """The layer's own bias, made where it has none; nothing where it shares one."""
    weight_node = layer.args[1]
    assert isinstance(weight_node, Node)
    bias_node = layer.args[2] if len(layer.args) > 2 else None
    if isinstance(bias_node, Node):
        shared = len(bias_node.users) > 1 or bias_node.op != "get_attr"
        shared = shared or sum(n.op == "get_attr" and n.target == bias_node.target for n in graph.graph.nodes) > 1
        return None if shared else parameter(graph, bias_node)
    weight = parameter(graph, weight_node)
    assert weight is not None
    owner_name, _, leaf = str(weight_node.target).rpartition(".")
    owner = graph.get_submodule(owner_name)
    own = "bias" if getattr(owner, "bias", None) is None else f"{leaf}_bias"
    setattr(owner, own, nn.Parameter(torch.zeros(len(weight), dtype=weight.dtype)))
    with graph.graph.inserting_before(layer):
        made = graph.graph.get_attr(f"{owner_name}.{own}".lstrip("."))
    layer.args = (layer.args[0], weight_node, made, *layer.args[3:])
    value = parameter(graph, made)
    assert value is not None
    return value
