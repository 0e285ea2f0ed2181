"""Names of an ONNX file's inputs and outputs: those of the network, whatever values inside the file are called."""

from collections.abc import Mapping, Sequence

import onnx

from export.onnx.graph import graphs


def stand_ins(kind: str, count: int) -> list[str]:
    """What inputs or outputs are called while the file is written: no operator's value has such a name."""
    return [f"tightship_{kind}_{index}" for index in range(count)]


def name_interface(proto: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> tuple[str, ...]:
    """Give inputs and outputs their names, in place; values inside that have one of them get another.

    An output that has an input's name would be that input: it is called `NAME_out`, which is said.

    Returns:
        A note for each output that is called otherwise in the file.
    """
    taken = _names(proto) | {*inputs, *outputs}
    called = [_free(f"{name}_out", taken) if name in inputs else name for name in outputs]
    final = dict(zip(stand_ins("input", len(inputs)), inputs, strict=True))
    final |= dict(zip(stand_ins("output", len(outputs)), called, strict=True))
    inside = {name: _free(f"{name}_1", taken | {*called}) for name in sorted(_names(proto) & {*final.values()})}
    _rename(proto, {**inside, **final})
    pairs = zip(outputs, called, strict=True)
    return tuple(f"output {name!r} is {new!r} in the file, where an input has its name" for name, new in pairs if name != new)


def _names(proto: onnx.ModelProto) -> set[str]:
    found: set[str] = set()
    for graph in graphs(proto.graph):
        found |= {value.name for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info)}
        found |= {name for node in graph.node for name in (*node.input, *node.output)}
    return found - {""}


def _free(name: str, taken: set[str]) -> str:
    """The name, or with a number that makes it one that nothing has."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _rename(proto: onnx.ModelProto, new: Mapping[str, str]) -> None:
    for graph in graphs(proto.graph):
        for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
            value.name = new.get(value.name, value.name)
        for node in graph.node:
            node.input[:] = [new.get(name, name) for name in node.input]
            node.output[:] = [new.get(name, name) for name in node.output]
