"""Operators of a file that stay in float because 8 bits hold too little there: scores on their way to a softmax, norms, GELU.

A score that a mask takes down to -3.4e38 leaves one of 256 steps for all others. ONNX Runtime has no kernel that would gain by
rounding between two multiplications of attention; the multiplications themselves stay in int8.
"""

from collections.abc import Iterable, Iterator, Mapping

import onnx

from artifacts.types import Range

MULTIPLY = ("MatMul", "Gemm", "Conv", "ConvTranspose", "Einsum", "LSTM", "GRU", "RNN", "Gather")
"""Where the way back from a softmax ends: what multiplies, and tables."""

NORMS = (
    "LayerNormalization",
    "GroupNormalization",
    "InstanceNormalization",
    "RMSNormalization",
    "SimplifiedLayerNormalization",
)

ENDLESS = 1e30
"""Magnitude beyond which a value is a mask and no activation."""


def float_operators(model: onnx.ModelProto, ranges: Mapping[str, Range]) -> list[str]:
    """The names of the nodes that stay in float.

    Args:
        model: the float file.
        ranges: of its tensors; those that hold masks have none, or reach beyond `ENDLESS`.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found = [node.name for node in model.graph.node if node.op_type in NORMS]
    for node in model.graph.node:
        if node.op_type == "Softmax":
            found += [node.name, *(one.name for one in _back(node, makers))]
        if node.op_type == "Erf":
            found += [one.name for one in _gelu(node, makers, readers)]
    endless = {name for name, (low, high) in ranges.items() if max(-low, high) > ENDLESS}
    found += [node.name for node in model.graph.node if endless & {*node.input, *node.output}]
    return list(dict.fromkeys(found))


def _back(softmax: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """What lies between a softmax and the multiplications whose results it is of."""
    waiting, seen = list(softmax.input), set[str]()
    while waiting:
        name = waiting.pop()
        node = makers.get(name)
        if node is None or node.name in seen or node.op_type in (*MULTIPLY, *NORMS, "Softmax"):
            continue
        seen.add(node.name)
        yield node
        waiting += node.input


def _gelu(
    erf: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto], readers: Mapping[str, list[onnx.NodeProto]]
) -> Iterator[onnx.NodeProto]:
    """The steps of x/2 * (1 + erf(x/√2)) but for x: the scaling before, and the sum and the products after."""
    before = makers.get(erf.input[0])
    if before is not None and before.op_type in ("Mul", "Div"):
        yield before
    yield erf
    after: Iterable[onnx.NodeProto] = readers.get(erf.output[0], [])
    for kinds in (("Add",), ("Mul",), ("Mul",)):
        step = [node for node in after if node.op_type in kinds]
        yield from step
        for node in step:
            # x/2 stands beside the sum
            yield from (
                made for name in node.input if (made := makers.get(name)) is not None and made.op_type in ("Mul", "Div")
            )
        after = [reader for node in step for name in node.output for reader in readers.get(name, [])]
