"""ONNX graphs with what is nested in them: the branches of `If`, the bodies of `Loop` and `Scan`."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto


def graphs(graph: "GraphProto") -> Iterator["GraphProto"]:
    """A graph and all graphs inside it; a name of an outer one means the same in an inner one."""
    yield graph
    for inner in _inside(graph.node):
        yield from graphs(inner)


def nodes(among: Iterable["NodeProto"]) -> Iterator["NodeProto"]:
    """Nodes, and those of the graphs inside them."""
    listed = list(among)
    yield from listed
    for inner in _inside(listed):
        yield from nodes(inner.node)


def _inside(among: Iterable["NodeProto"]) -> Iterator["GraphProto"]:
    for node in among:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield attribute.g
            yield from attribute.graphs


def read(graph: "GraphProto") -> set[str]:
    """The names of all values that something in a graph reads, its outputs and those of the graphs inside it included."""
    found = {name for node in nodes(graph.node) for name in node.input}
    return found | {value.name for inner in graphs(graph) for value in inner.output}
