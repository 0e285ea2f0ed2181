"""A network as one flat graph with its batch norms folded into the layers before them, padded shortcuts as convolutions.

What is exported, quantized and trained with fake quantization is this graph, so that all three see the same tensors.
"""

import re
import warnings

import torch
from torch import nn
from torch.fx import GraphModule, Node

from artifacts.errors import ModelError
from artifacts.specs import Signature
from compress.constants import fold_constants
from compress.edits.shortcuts import as_convolutions
from zoo.calling import INPUT

BATCH = 2
"""Examples are traced two at a time: a batch of one would be taken for a constant."""


def dynamic_shapes(signature: Signature) -> dict[str, dict[int, torch.export.Dim]]:
    """torch.export's dimensions for every named dynamic dimension of the inputs, with their ranges."""
    ranges = {r.name: {"min": r.min, "max": r.max} for r in signature.ranges}
    dims = {name: torch.export.Dim(name, **ranges.get(name, {})) for name in signature.dynamic}
    return {s.name: {i: dims[d] for i, d in enumerate(s.shape) if isinstance(d, str)} for s in signature.inputs}


def example_tensors(signature: Signature) -> tuple[torch.Tensor, ...]:
    """Inputs to trace with: normal noise for floats, zeros for whole numbers."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for spec in signature.inputs:
        shape = spec.concrete(signature.sizes(BATCH))
        dtype = getattr(torch, spec.dtype)
        made.append(
            torch.randn(shape, generator=generator).to(dtype) if dtype.is_floating_point else torch.zeros(shape, dtype=dtype)
        )
    return tuple(made)


def fold(module: nn.Module, signature: Signature) -> GraphModule:
    """A flat copy of `module` in eval mode with batch norms folded; the caller's network is left as it is.

    Raises:
        ModelError: torch.export cannot trace the network.
    """
    if isinstance(module, GraphModule):
        return _plain(module)
    training = module.training
    shapes = tuple(dynamic_shapes(signature).values())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.export.export(module.eval(), example_tensors(signature), dynamic_shapes=shapes)
    except Exception as error:
        raise ModelError(f"torch.export cannot trace the model: {_cause(error)}.") from error
    finally:
        module.train(training)
    graph_module = _plain(exported.module())
    placeholders = [node for node in graph_module.graph.nodes if node.op == "placeholder"]
    for node, spec in zip(placeholders, signature.inputs, strict=True):
        node.meta[INPUT] = spec.name
    fold_constants(graph_module)
    for node in list(graph_module.graph.nodes):
        if _is(node, "batch_norm") and _foldable(node):
            _fold_one(graph_module, node)
    as_convolutions(graph_module)
    graph_module.graph.eliminate_dead_code()
    graph_module.recompile()
    return _plain(graph_module)


def _cause(error: Exception) -> str:
    """What stopped torch.export, with the way out."""
    text = str(error).strip()
    first = (text.splitlines() or [""])[0]
    if "fake tensor in the exported program constant" in text:
        return "forward writes into a tensor through `.data`; do it before the export, or in place under torch.no_grad()"
    if "Constraints violated" in text:
        dims = first.partition("(")[2].partition(")")[0] or "of the inputs"
        guards = re.findall(r"in the specified range (.+) satisfy the generated guard (.+)\.$", text, re.MULTILINE)
        if guards:
            span, guard = guards[-1][0], re.sub(r"L\['\w+'\]\.size\(\)\[\d+\]", dims, guards[-1][1])
            return f"it does not take every size of {span} (it asks for {guard}); narrow the range under `export: dims`"
        return f"the model ties the dynamic dimensions {dims} to others or to a number; give equal dimensions one name"
    if flow := _control_flow(text):
        return flow
    way_out = "remove control flow that depends on data, and shapes that fix the batch"
    return f"{type(error).__name__}: {first}; {way_out}"


def _control_flow(text: str) -> str | None:
    """What a branch or a loop was refused for; none if it is about something else."""
    if apart := re.search(r"When merging two branches' output in torch\.cond,\s+(.+?)\.?\"", text):
        return f"the two sides of torch.cond return different things ({apart[1]}); give both the same shapes and dtypes"
    if called := re.search(r"Higher Order Operator: (?:torch\.ops\.higher_order\.)?([\w.]+)", text):
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        why = " ".join(lines[1 if lines[0].startswith("This higher order operator") else 0 :][:2]).partition(
            " Higher Order Op"
        )[0]
        hint = re.search(r"Hint: (.+?)\.?$", text, re.MULTILINE)
        return f"{called[1]} cannot be used so: {why}" + (f"; {hint[1]}" if hint else "")
    if "data-dependent" in text:
        way_out = "write a branch as torch.cond, a loop as torch's while_loop or scan, or take it out"
        return f"forward decides in Python on values or sizes that it computed; {way_out}"
    return None


def _plain(module: nn.Module) -> GraphModule:
    """A copy as a GraphModule whose train() and eval() work, without torch.export's input guards."""
    import copy

    assert isinstance(module, GraphModule)
    graph = copy.deepcopy(module.graph)
    for node in list(graph.nodes):
        if node.op == "call_module" and node.name == "_guards_fn":
            graph.erase_node(node)
    return GraphModule(copy.deepcopy(module), graph).eval()


def _is(node: object, operator: str) -> bool:
    return isinstance(node, Node) and node.op == "call_function" and str(node.target).startswith(f"aten.{operator}.")


def is_layer(node: object) -> bool:
    """Whether a node is a convolution or a linear layer with its own weight."""
    return any(_is(node, name) for name in ("conv1d", "conv2d", "conv3d", "linear"))


def operator(node: Node) -> str:
    """The ATen operator of a call, such as `conv2d`; another library's by its whole name; the node's kind otherwise."""
    name = str(node.target)
    if node.op != "call_function" or "." not in name:
        return node.op
    return name.split(".")[1] if name.startswith("aten.") else name


def _foldable(norm: Node) -> bool:
    layer = norm.args[0]
    if not (isinstance(layer, Node) and is_layer(layer) and len(layer.users) == 1):
        return False
    if not isinstance(norm.args[3], Node) or norm.args[5]:  # it normalises with the batch's own statistics
        return False
    if _is(layer, "linear") and layer.meta["val"].ndim != 2:  # its features are then not the norm's channels
        return False
    weight = layer.args[1]
    return isinstance(weight, Node) and weight.op == "get_attr" and len(weight.users) == 1


def attribute(module: nn.Module, node: Node) -> torch.Tensor:
    """The tensor that a `get_attr` node reads."""
    owner, _, leaf = str(node.target).rpartition(".")
    found: torch.Tensor = getattr(module.get_submodule(owner), leaf)
    return found


def _attribute(module: GraphModule, node: object) -> torch.Tensor | None:
    return attribute(module, node) if isinstance(node, Node) else None


def _only_here(layer: Node, name: str) -> bool:
    bias = layer.args[2] if len(layer.args) > 2 else None
    return isinstance(bias, Node) and str(bias.target) == name.lstrip(".") and len(bias.users) == 1


def _fold_one(module: GraphModule, norm: Node) -> None:
    """w' = w · γ/√(σ²+ε), b' = β + (b - μ) · γ/√(σ²+ε)."""
    layer = norm.args[0]
    assert isinstance(layer, Node)
    weight_node = layer.args[1]
    weight, bias = _attribute(module, weight_node), _attribute(module, layer.args[2] if len(layer.args) > 2 else None)
    gamma, beta, mean, variance = (_attribute(module, norm.args[i]) for i in (1, 2, 3, 4))
    assert weight is not None
    assert mean is not None
    assert variance is not None
    scale = torch.rsqrt(variance + float(norm.args[7]))  # type: ignore[arg-type]
    scale = scale if gamma is None else scale * gamma
    offset = (torch.zeros_like(mean) if bias is None else bias) - mean
    offset = offset * scale + (torch.zeros_like(mean) if beta is None else beta)
    owner_name, _, leaf = str(weight_node.target).rpartition(".")  # type: ignore[union-attr]
    owner = module.get_submodule(owner_name)
    # a bias that belongs to another layer too is left as it is
    own = "bias" if getattr(owner, "bias", None) is None or _only_here(layer, f"{owner_name}.bias") else f"{leaf}_bias"
    setattr(owner, leaf, nn.Parameter((weight * scale.view(-1, *[1] * (weight.ndim - 1))).detach()))
    setattr(owner, own, nn.Parameter(offset.detach()))
    with module.graph.inserting_before(layer):
        bias_node = module.graph.get_attr(f"{owner_name}.{own}".lstrip("."))
    layer.args = (layer.args[0], weight_node, bias_node, *layer.args[3:])
    norm.replace_all_uses_with(layer)
    module.graph.erase_node(norm)
