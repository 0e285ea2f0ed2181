"""Pad quantized values as they are: ONNX Runtime would go to float and back around every Pad."""

from collections import defaultdict
from collections.abc import Mapping

import onnx

from artifacts.types import Array


def pad_in_integers(model: onnx.ModelProto) -> int:
    """Move each zero-padding Pad between its DequantizeLinear and QuantizeLinear to the integers; the number moved.

    What a Pad gives lies in the range of what it takes, with zero, so it can keep the scale of its input; the padding is
    then the zero point.
    """
    graph = model.graph
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            consumers[name].append(node)
    dropped: list[onnx.NodeProto] = []
    for pad in [n for n in graph.node if n.op_type == "Pad"]:
        before, after = producers.get(pad.input[0]), consumers[pad.output[0]]
        if before is None or before.op_type != "DequantizeLinear" or [n.op_type for n in after] != ["QuantizeLinear"]:
            continue
        if not _pads_with_zero(pad, constants) or len(before.input) < 3:
            continue
        dropped.append(after[0])
        _move(pad, before, after[0], consumers)
        if all(user is pad for user in consumers[before.output[0]]):
            dropped.append(before)
    for node in dropped:
        graph.node.remove(node)
    return sum(node.op_type == "QuantizeLinear" for node in dropped)


def _pads_with_zero(pad: onnx.NodeProto, constants: Mapping[str, Array]) -> bool:
    mode = next((a.s.decode() for a in pad.attribute if a.name == "mode"), "constant")
    value = pad.input[2] if len(pad.input) > 2 else ""
    return mode == "constant" and (not value or constants.get(value) == 0)


def _move(
    pad: onnx.NodeProto, before: onnx.NodeProto, after: onnx.NodeProto, consumers: dict[str, list[onnx.NodeProto]]
) -> None:
    values, scale, zero = before.input
    pad.input[0] = values
    if len(pad.input) > 2:
        pad.input[2] = zero
    else:
        pad.input.append(zero)
    pad.output[0] = after.output[0]
    for user in consumers[after.output[0]]:
        if user.op_type == "DequantizeLinear":
            user.input[1], user.input[2] = scale, zero
