"""What is done to an ONNX file after the exporter: nothing of this machine in it, weights once, pools as runtimes want them."""

from pathlib import Path
from typing import Any

import onnx

from export.onnx.graph import graphs, nodes, read

LARGE = 1024
"""Bytes from which equal weights are kept once, and lie in a sidecar; below, names are worth more."""


def pool_globally(proto: onnx.ModelProto, folder: Path) -> None:
    """Round a mean over both image axes into GlobalAveragePool, which has integer kernels where ReduceMean has none."""
    means = [node for node in nodes(proto.graph.node) if node.op_type == "ReduceMean"]
    wanted = {node.input[1] for node in means if len(node.input) > 1}
    stored = [weight for graph in graphs(proto.graph) for weight in graph.initializer if weight.name in wanted]
    constants = {weight.name: onnx.numpy_helper.to_array(weight, str(folder)) for weight in stored}
    known = [value for graph in graphs(proto.graph) for value in (*graph.value_info, *graph.input)]
    ranks = {v.name: len(v.type.tensor_type.shape.dim) for v in known}
    for node in means:
        if ranks.get(node.input[0]) != 4 or len(node.input) < 2:
            continue
        axes = constants.get(node.input[1])
        keeps = all(a.i for a in node.attribute if a.name == "keepdims")
        if axes is not None and keeps and {int(a) % 4 for a in axes} == {2, 3}:
            node.op_type = "GlobalAveragePool"
            del node.input[1:]
            del node.attribute[:]
    used = read(proto.graph)
    for graph in graphs(proto.graph):
        for initializer in [i for i in graph.initializer if i.name not in used]:
            graph.initializer.remove(initializer)


def share_equal_weights(proto: onnx.ModelProto) -> None:
    """Keep one of each set of equal large weights: folding writes a weight that layers share once for each of them."""
    kept: dict[tuple[Any, ...], str] = {}
    other: dict[str, str] = {}
    given = {value.name for graph in graphs(proto.graph) for value in graph.output}
    for weight in list(proto.graph.initializer):
        if len(weight.raw_data) < LARGE or weight.name in given:
            continue
        name = kept.setdefault((weight.data_type, tuple(weight.dims), weight.raw_data), weight.name)
        if name != weight.name:
            other[weight.name] = name
            proto.graph.initializer.remove(weight)
    for node in nodes(proto.graph.node):
        node.input[:] = [other.get(name, name) for name in node.input]


def strip(proto: onnx.ModelProto) -> None:
    """Take out what is not the model: stack traces, source paths and names of Python objects."""
    del proto.metadata_props[:]
    proto.doc_string = ""
    for graph in graphs(proto.graph):
        for item in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
            del item.metadata_props[:]
            item.doc_string = ""
