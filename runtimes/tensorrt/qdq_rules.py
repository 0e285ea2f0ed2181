"""TensorRT's published rules for quantize/dequantize pairs, checked on an ONNX file without TensorRT and without a GPU.

The rules are those of "Explicit Quantization" in NVIDIA's TensorRT documentation and of its ONNX parser:

- signed symmetric types only, no quantized bias: anything else is refused by the parser, or read wrongly;
- all inputs of weighted operations quantized, weights with one scale per output channel, activations with one scale;
- in a residual addition the skip branch quantized, and the branch that ends in a convolution left as it is: only then
  do the convolution and the addition become one kernel.

Graphs inside `If` and `Loop` are not visited.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, numpy_helper

PAIR = ("QuantizeLinear", "DequantizeLinear")
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
COMMUTING = ("Flatten", "MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
"""Operators that TensorRT moves a pair through, so that what follows them counts as quantized."""
READABLE = (TensorProto.INT8, TensorProto.INT4, TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT4E2M1)


class _Graph:
    """The nodes of a model by the tensors that they make and take."""

    def __init__(self, path: Path) -> None:
        graph = onnx.load(path, load_external_data=False).graph
        self.folder = str(path.parent)
        self.nodes = list(graph.node)
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.producer: dict[str, NodeProto] = {}
        self.consumers: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            self._add(node)

    def _add(self, node: NodeProto) -> None:
        self.producer.update(dict.fromkeys(node.output, node))
        for name in node.input:
            self.consumers.setdefault(name, []).append(node)
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            self.constants[node.output[0]] = node.attribute[0].t

    def values(self, name: str) -> NDArray[np.float64] | None:
        """The numbers of a constant, or None if the tensor is computed."""
        if name not in self.constants:
            return None
        return np.asarray(numpy_helper.to_array(self.constants[name], self.folder)).astype(np.float64)

    def rank(self, name: str) -> int | None:
        """The rank of a weight, looked up behind its pair."""
        while (node := self.producer.get(name)) is not None and node.op_type in PAIR:
            name = node.input[0]
        return len(self.constants[name].dims) if name in self.constants else None

    def dequantizer(self, name: str, through: tuple[str, ...] = ()) -> NodeProto | None:
        """The DequantizeLinear that makes this tensor, if one does, looking through operators named in `through`."""
        node = self.producer.get(name)
        while node is not None and node.op_type in through:
            node = self.producer.get(node.input[0])
        return node if node is not None and node.op_type == "DequantizeLinear" else None


def check_qdq(path: Path) -> tuple[str, ...]:
    """The findings of `check_symmetric` and `check_placement`, one sentence each; none for a file without pairs."""
    return check_symmetric(path) + check_placement(path)


def check_symmetric(path: Path) -> tuple[str, ...]:
    """What TensorRT cannot run: pairs that are not symmetric, or of a type that it does not read."""
    graph = _Graph(path)
    return tuple(text for node in graph.nodes if node.op_type in PAIR for text in _symmetry(graph, node))


def check_placement(path: Path) -> tuple[str, ...]:
    """What TensorRT runs, but slower or less accurately than it could."""
    graph = _Graph(path)
    found: list[str] = []
    for node in graph.nodes:
        if node.op_type in WEIGHTED:
            found += _weighted(graph, node)
        elif node.op_type == "QuantizeLinear":
            found += _activation(graph, node)
        elif node.op_type == "Add":
            found += _residual(graph, node)
    return tuple(found)


def _label(node: NodeProto) -> str:
    return f"{node.op_type} {(node.name or node.output[0])!r}"


def _attribute(node: NodeProto, name: str, default: int) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), default)


def _type(graph: _Graph, node: NodeProto) -> int:
    """The type on the quantized side of a pair's half; ONNX reads a missing zero point as uint8."""
    if len(node.input) > 2 and node.input[2] in graph.constants:
        return int(graph.constants[node.input[2]].data_type)
    if node.op_type == "QuantizeLinear":
        return _attribute(node, "output_dtype", TensorProto.UINT8)
    if node.input[0] in graph.constants:
        return int(graph.constants[node.input[0]].data_type)
    source = graph.producer.get(node.input[0])
    return _type(graph, source) if source is not None and source.op_type == "QuantizeLinear" else TensorProto.UINT8


def _symmetry(graph: _Graph, node: NodeProto) -> Iterator[str]:
    kind = TensorProto.DataType.Name(_type(graph, node)).lower()
    if kind == "int32":
        yield f"{_label(node)} dequantizes an int32 bias, which TensorRT cannot read; leave biases in float."
        return
    if _type(graph, node) not in READABLE:
        yield f"{_label(node)} uses {kind}, and TensorRT runs only symmetric int8; quantize it as int8, zero point 0."
    points = graph.values(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros(1)
    if points is None:
        yield f"{_label(node)} computes its zero point, and TensorRT runs only zero point 0; make it a constant 0."
    elif points.any():
        worst = int(points.flat[np.abs(points).argmax()])
        yield f"{_label(node)} has zero point {worst}, and TensorRT runs only zero point 0; quantize it symmetrically."
    scales = graph.values(node.input[1])
    if scales is not None and (scales <= 0).any():
        yield f"{_label(node)} has scale {scales.min():g}, and TensorRT needs scales above 0; calibrate it again."


def _weighted(graph: _Graph, node: NodeProto) -> Iterator[str]:
    data, weight = graph.dequantizer(node.input[0], COMMUTING), graph.dequantizer(node.input[1])
    second = "weights" if graph.rank(node.input[1]) is not None else "second input"
    if data is not None and weight is None:
        yield f"{_label(node)} has a quantized input but float {second}, so it runs in float; quantize its {second}."
    if weight is None:
        return
    if data is None:
        yield f"{_label(node)} has quantized {second} but a float input, so it runs in float; quantize its input."
    rank = graph.rank(node.input[1])
    if rank is not None:
        yield from _channels(graph, node, weight, rank)


def _channels(graph: _Graph, node: NodeProto, pair: NodeProto, rank: int) -> Iterator[str]:
    expected = {
        "Conv": 0,
        "ConvTranspose": 1,
        "Gemm": 0 if _attribute(node, "transB", 0) else 1,
        "MatMul": rank - 1,
    }[node.op_type]
    scales = graph.values(pair.input[1])
    if scales is None:
        return
    if scales.size == 1:
        if node.op_type != "ConvTranspose":
            yield f"{_label(node)} has one scale for all its weights; give each output channel one, axis {expected}."
        return
    axis = _attribute(pair, "axis", 1) % rank
    if axis != expected:
        yield (
            f"{_label(pair)} scales the weights of {_label(node)} along axis {axis}, "
            f"and its output channels are axis {expected}; quantize along that axis."
        )


def _activation(graph: _Graph, node: NodeProto) -> Iterator[str]:
    scales = graph.values(node.input[1])
    if scales is not None and scales.size > 1 and graph.rank(node.input[0]) is None:
        yield f"{_label(node)} has {scales.size} scales for an activation, and TensorRT wants 1; quantize per tensor."


def _residual(graph: _Graph, add: NodeProto) -> Iterator[str]:
    if any(name in graph.constants or graph.rank(name) is not None for name in add.input):
        return
    kinds = [_branch(graph, name) for name in add.input]
    if "float" in kinds:
        if set(kinds) != {"float"}:
            name = add.input[kinds.index("float")]
            yield f"{_label(add)} takes {name!r} in float beside an integer branch, so it runs in float; quantize both."
    elif kinds == ["weighted", "weighted"]:
        name = add.input[1]
        yield f"{_label(add)} has no quantized branch, so its output stays float; quantize the skip branch {name!r}."
    elif "weighted" not in kinds and "blocked" in kinds:
        pair = graph.producer[graph.producer[add.input[kinds.index("blocked")]].input[0]]
        source = graph.producer[pair.input[0]]
        yield (
            f"{_label(pair)} stands between {_label(source)} and {_label(add)}, "
            "so TensorRT cannot fuse the two into one kernel; remove that pair."
        )


def _branch(graph: _Graph, name: str) -> str:
    """A branch of an addition: from a `weighted` integer operator, `quantized`, `blocked` by a pair, or `float`."""
    node = graph.producer.get(name)
    if node is None:
        return "float"
    if node.op_type in WEIGHTED:
        return "weighted" if graph.dequantizer(node.input[0], COMMUTING) is not None else "float"
    if node.op_type != "DequantizeLinear":
        return "float" if graph.dequantizer(name, COMMUTING) is None else "quantized"
    quantizer = graph.producer.get(node.input[0])
    if quantizer is None or quantizer.op_type != "QuantizeLinear":
        return "quantized"
    source = graph.producer.get(quantizer.input[0])
    chain = (quantizer.input[0], node.input[0], name)
    alone = all(len(graph.consumers[tensor]) == 1 for tensor in chain)
    return "blocked" if source is not None and source.op_type in WEIGHTED and alone else "quantized"
