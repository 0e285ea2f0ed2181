"""Which layer of the model a node of an ONNX file computes, and what it multiplies."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts.types import Arrays

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

CONVOLUTIONS = ("Conv", "ConvInteger", "QLinearConv", "FusedConv")
MATRICES = ("Gemm", "MatMul", "MatMulInteger", "QLinearMatMul", "QGemm", "FusedGemm", "FusedMatMul", "MatMulNBits",
            "MatMulIntegerToFloat", "DynamicQuantizeMatMul")  # fmt: skip

# what ONNX Runtime's optimizer adds to the name of a node or of the tensor that it writes
_ADDED = re.compile(r"(_nchwc|_nhwc|_token_\d+|/MatMulAddFusion.*|_quant)+$")
_WEIGHT = re.compile(r"^(.+?)[._](?:weight|kernel)(?:$|[._])")


@dataclass(frozen=True)
class Weighted:
    """A node that multiplies with a weight."""

    layer: str | None
    macs: int | None


class OnnxLayers:
    """The weighted nodes of a file, found by the names that ONNX Runtime gives them."""

    def __init__(self, path: Path, inputs: Arrays) -> None:
        self._makers: dict[str, NodeProto] = {}
        self._nodes: dict[str, NodeProto] = {}
        graph = _shaped(path, inputs).graph
        self._shapes = _shapes(graph)
        self._constants = {tensor.name for tensor in graph.initializer}
        for node in graph.node:
            self._nodes[node.name] = node
            self._makers |= dict.fromkeys(node.output, node)

    def find(self, ran: str) -> Weighted | None:
        """What a node computes that ran under this name; none if the file has no such weighted node."""
        name = _ADDED.sub("", ran.removeprefix("fused "))
        node = self._nodes.get(ran) or self._nodes.get(name) or self._makers.get(name)
        for _ in range(4):  # a convolution that took in the operators behind it goes by the last one's name
            if node is None or node.op_type in (*CONVOLUTIONS, *MATRICES):
                break
            node = self._makers.get(node.input[0]) if node.input else None
        return Weighted(self._layer(node), self._macs(node)) if node is not None and node.input else None

    def _layer(self, node: "NodeProto") -> str | None:
        where = {"QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3}.get(node.op_type, 1)
        for at in (where, 0):
            name = self._constant(node.input[at]) if len(node.input) > at else None
            if name and not name.startswith("reorder"):  # what a file that was optimized before calls all its weights
                found = _WEIGHT.match(name)
                return found[1] if found else name
        return None

    def _constant(self, name: str) -> str | None:
        """The stored tensor that a weight is made from, by way of the operators that unpack it."""
        for _ in range(6):
            if name in self._constants:
                return name
            maker = self._makers.get(name)
            if maker is None or not maker.input:
                return None
            name = maker.input[0]
        return None

    def _macs(self, node: "NodeProto") -> int | None:
        quantized = node.op_type in ("QLinearConv", "QLinearMatMul", "QGemm")
        out, inputs = self._shapes.get(node.output[0]), node.input
        left, right = self._shapes.get(inputs[0]), self._shapes.get(inputs[3 if quantized else 1])
        if out is None or left is None or right is None:
            return None
        if node.op_type in CONVOLUTIONS:
            return convolution_macs(out, right)
        across = next((a.i for a in node.attribute if a.name == "transA"), 0)
        return prod(out) * left[-2 if across else -1]


def convolution_macs(out: Sequence[int], weight: Sequence[int]) -> int:
    """MACs of a convolution by the shapes of its output (N, C, ...) and weight (C, inputs of a group, ...).

    >>> convolution_macs((1, 8, 6, 6), (8, 3, 3, 3))
    7776
    """
    return prod(out) * prod(weight[1:])


def matrix_macs(shapes: Mapping[str, Any]) -> int | None:
    """MACs of a matrix product by the shapes in ONNX Runtime's profile; none where they are not there."""
    try:
        (left,), (out,) = shapes["input_type_shape"][0].values(), shapes["output_type_shape"][0].values()
        return int(prod(out) * left[-1])
    except (KeyError, IndexError, ValueError, AttributeError):
        return None


def _shaped(path: Path, inputs: Arrays) -> "ModelProto":
    """The file's model with the shapes that these inputs give its tensors."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    for value in model.graph.input:
        if value.name in inputs:
            shape = value.type.tensor_type.shape
            del shape.dim[:]
            for size in inputs[value.name].shape:
                shape.dim.add().dim_value = size
    del model.graph.value_info[:]  # they may hold names where there are numbers now
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception:  # operators of the runtime's own: their shapes stay unknown
        return model


def _shapes(graph: "GraphProto") -> dict[str, tuple[int, ...]]:
    found = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in dims):
            found[value.name] = tuple(d.dim_value for d in dims)
    return found
