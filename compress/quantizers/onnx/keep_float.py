"""Keeps ONNX Runtime from rounding the weights of layers that the file holds in float between layers in int8.

Its graph optimizer (`WeightBiasQuantization`, seen in 1.32) gives a float Conv, ConvTranspose or Gemm that reads a
DequantizeLinear and feeds a QuantizeLinear int8 weights with one scale, so `keep_float` would keep nothing. It takes only
layers whose input has one scale: an input that is dequantized with an equal scale for each channel computes the same.
https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/core/optimizer/qdq_transformer/weight_bias_quantization.cc
"""

from collections.abc import Iterable

import numpy as np
import onnx

TAKEN = ("Conv", "ConvTranspose", "Gemm")


def keep_in_float(model: onnx.ModelProto, kept: Iterable[str]) -> int:
    """Give the layers with these node names, in place, inputs that are dequantized by channel; how many it gave one.

    Inputs of one channel, and those that are not dequantized, stay as they are.
    """
    graph, wanted = model.graph, set(kept)
    makers = {name: node for node in graph.node for name in node.output}
    constants = {i.name: i for i in graph.initializer}
    count = 0
    for node in [n for n in graph.node if n.name in wanted and n.op_type in TAKEN]:
        source, channels = makers.get(node.input[0]), _channels(node, constants.get(node.input[1]))
        if source is None or source.op_type != "DequantizeLinear" or channels < 2:
            continue
        name = f"{node.name}_by_channel"
        limits = [onnx.numpy_helper.to_array(constants[i]) for i in source.input[1:3]]
        for part, value in zip(("scale", "zero_point"), limits, strict=True):
            made = np.full(channels, value.item(), value.dtype)
            graph.initializer.append(onnx.numpy_helper.from_array(made, f"{name}_{part}"))
        inputs = [source.input[0], f"{name}_scale", f"{name}_zero_point"]
        graph.node.append(onnx.helper.make_node("DequantizeLinear", inputs, [name], name, axis=1))
        node.input[0] = name
        if not any(source.output[0] in other.input for other in graph.node):
            graph.node.remove(source)
        count += 1
    return count


def _channels(node: onnx.NodeProto, weight: onnx.TensorProto | None) -> int:
    """The channels that a layer reads; 0 where its weight is no constant."""
    if weight is None:
        return 0
    told = {a.name: int(a.i) for a in node.attribute}
    if node.op_type == "Conv":
        return int(weight.dims[1]) * told.get("group", 1)
    if node.op_type == "ConvTranspose":
        return int(weight.dims[0])
    return 0 if told.get("transA") else int(weight.dims[1 if told.get("transB") else 0])
