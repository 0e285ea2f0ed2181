"""Which layers a recipe's `keep_float` names, in the network and in the files that are made from it."""

from collections.abc import Iterable

import numpy as np
import onnx
import torch
from torch import nn
from torch.fx import Node

from artifacts.errors import RequestError, nearest
from artifacts.types import TorchModel
from compress.fold import fold


def names_layer(parameter: str, layers: Iterable[str]) -> bool:
    """Whether a parameter such as `layer1.0.conv1.weight` belongs to one of `layers`, or to a part of one.

    >>> names_layer("layer1.0.conv1.weight", ["layer1.0"]), names_layer("layer10.weight", ["layer1"])
    (True, False)
    """
    return any(parameter.startswith(f"{layer}.") for layer in layers)


def check_layers(module: nn.Module, layers: Iterable[str]) -> None:
    """Whether every name is that of a layer, or of a part of the network, with a weight.

    Raises:
        RequestError: one is not; the message names the nearest that is.
    """
    owners = {name.rpartition(".")[0] for name, tensor in module.named_parameters() if tensor.ndim > 1}
    parts = {owner[:end] for owner in owners for end in (*(i for i, c in enumerate(owner) if c == "."), len(owner))} - {""}
    for layer in layers:
        if layer not in parts:
            raise RequestError(f"keep_float: the model has no layer {layer!r} with a weight; {nearest(layer, sorted(parts))}.")


def nodes_of(proto: onnx.ModelProto, model: TorchModel, layers: Iterable[str]) -> list[str]:
    """The names of the ONNX nodes that hold the weights of `layers` (dotted module names).

    A weight is found by its values in any order, since exporters transpose weights and reorder the gates of an LSTM.

    Raises:
        RequestError: a name is no layer of the model, or its weights are in no node of the file.
    """
    layers = tuple(layers)
    if not layers:
        return []
    check_layers(model.module, layers)
    folded = fold(model.module, model.signature).state_dict()
    stored = {i.name: np.sort(onnx.numpy_helper.to_array(i), axis=None) for i in proto.graph.initializer if len(i.dims) > 1}
    found: list[str] = []
    for layer in layers:
        weights = [_sorted(t) for n, t in folded.items() if t.ndim > 1 and names_layer(n, [layer])]
        same = {name for name, value in stored.items() if any(np.array_equal(value, w) for w in weights)}
        nodes = [node.name for node in proto.graph.node if same & set(node.input)]
        if not nodes:
            raise RequestError(f"keep_float: the weights of {layer!r} are in no operator of the ONNX file; take it out.")
        found += nodes
    return list(dict.fromkeys(found))


def _sorted(tensor: torch.Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.sort(tensor.detach().numpy(), axis=None)


def count_layers(proto: onnx.ModelProto) -> int:
    """How many operators of a file have a constant weight of two dimensions or more."""
    constants = {i.name for i in proto.graph.initializer if len(i.dims) > 1}
    kinds = ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN")
    return sum(node.op_type in kinds and bool(constants & set(node.input)) for node in proto.graph.node)


def as_matmul(proto: onnx.ModelProto, kept: Iterable[str]) -> list[str]:
    """Rewrite every Gemm of a file as MatMul and Add, in place; the names that the nodes in `kept` have then."""
    from onnxruntime.quantization.onnx_model import ONNXModel

    wanted = {name for kind in kept for name in (kind, f"{kind}_MatMul")}
    ONNXModel(proto).replace_gemm_with_matmul()
    # weights were transposed where they lie: shapes that were noted before no longer hold
    del proto.graph.value_info[:]
    return [node.name for node in proto.graph.node if node.name in wanted]


def is_kept(node: Node, layers: Iterable[str]) -> bool:
    """Whether a layer's node in a folded graph takes its weight from one of `layers`."""
    weight = node.args[1] if len(node.args) > 1 else None
    return isinstance(weight, Node) and weight.op == "get_attr" and names_layer(str(weight.target), layers)
