"""OpenVINO models: the value of their tensors, the layers of their weights, where a rounding belongs, and their files."""

import contextlib
import re
from collections.abc import Container, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import RequestError
from artifacts.types import Arrays, TorchModel
from compress.fold import fold
from compress.quantizers.layers import check_layers, names_layer
from compress.quantizers.pt2e.streaming import Observer

if TYPE_CHECKING:
    import openvino as ov

MOVERS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Transpose", "MaxPool", "Slice", "StridedSlice", "Split"})
"""Operators that only move values about: their result lies in the range of what they are given."""

LAYERS = frozenset({"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul",
                    "LSTMSequence", "GRUSequence", "RNNSequence"})  # fmt: skip


COUNTED = re.compile(r"[A-Z]\w*_\d+")
"""Names that OpenVINO makes up from a counter that runs as long as the process."""


def save(model: "ov.Model", path: Path, *, fp16: bool = False) -> None:
    """Write a model as IR, with what is not the model taken out, so that the same model gives the same bytes.

    Args:
        model: changed in place: names that a process counted up become those of the operator's place.
        path: ends in `.xml`; the weights go beside it.
        fp16: whether weights are stored in fp16. OpenVINO's own default is that they are.
    """
    import openvino as ov

    for place, op in enumerate(model.get_ordered_ops()):
        if COUNTED.fullmatch(op.get_friendly_name()) and op.get_type_name() not in ("Parameter", "Result"):
            op.set_friendly_name(f"{op.get_type_name()}_{place}")
    notes = model.get_rt_info()
    for name in ("nncf", "conversion_parameters"):  # settings of the tools, and the path of a file that was read
        with contextlib.suppress(KeyError):
            del notes[name]
    ov.save_model(model, path, compress_to_fp16=fp16)


class IrObserver(Observer):
    """Runs a model and hands back the value of every float tensor in it, by the name of the operator that makes it."""

    def __init__(self, model: "ov.Model") -> None:
        import openvino as ov

        watched = model.clone()
        outputs = [
            out
            for op in watched.get_ordered_ops()
            if op.get_type_name() not in ("Constant", "Result")
            for out in op.outputs()
            if out.get_element_type() == ov.Type.f32 and not _constant(op)
        ]
        self.names = [name_of(out) for out in outputs]
        made = ov.Model([ov.opset13.result(out) for out in outputs], watched.get_parameters(), "watched")
        settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        self._request = ov.Core().compile_model(made, "CPU", settings).create_infer_request()
        self._takes = [next(iter(p.get_names())) for p in made.inputs]

    def values(self, inputs: Arrays) -> Arrays:
        """Every float tensor of one batch, inputs included."""
        results = self._request.infer([inputs[name] for name in self._takes], share_outputs=False)
        return dict(zip(self.names, results.values(), strict=True))


def _constant(op: "ov.Node") -> bool:
    """Whether nothing that is fed in reaches an operator."""
    if op.get_type_name() == "Parameter":
        return False
    return all(_constant(v.get_node()) for v in op.input_values()) if op.get_input_size() else True


def name_of(output: "ov.Output") -> str:
    """The tensor of an operator's output: the operator's name, and which output if it has several."""
    node = output.get_node()
    name = str(node.get_friendly_name())
    return name if node.get_output_size() == 1 else f"{name}:{output.get_index()}"


def source_of(rounding: "ov.Node", known: Container[str]) -> str | None:
    """The tensor that a FakeQuantize rounds, or the one that its values were moved from, if it is among the known ones."""
    value = rounding.input_value(0)
    while name_of(value) not in known:
        node = value.get_node()
        if node.get_type_name() not in MOVERS:
            return None
        value = node.input_value(0)
    return name_of(value)


def layers_of(model: "ov.Model", network: TorchModel, layers: Iterable[str]) -> list[str]:
    """The names of the operators that hold the weights of `layers` (dotted module names), found by their values.

    Raises:
        RequestError: a name is no layer of the network, or its weights are in no operator of the file.
    """
    layers = tuple(layers)
    if not layers:
        return []
    check_layers(network.module, layers)
    folded = fold(network.module, network.signature).state_dict()
    stored = [(op, weight) for op in model.get_ops() if op.get_type_name() in LAYERS for weight in _weights(op)]
    found: list[str] = []
    for layer in layers:
        wanted = [np.sort(t.detach().numpy(), axis=None) for n, t in folded.items() if t.ndim > 1 and names_layer(n, [layer])]
        names = [op.get_friendly_name() for op, weight in stored if any(np.array_equal(weight, w) for w in wanted)]
        if not names:
            raise RequestError(f"keep_float: the weights of {layer!r} are in no operator of the OpenVINO file; take it out.")
        found += names
    return list(dict.fromkeys(found))


def _weights(op: "ov.Node") -> list[NDArray[np.float32]]:
    """The constants of two dimensions or more that go into an operator, each sorted."""
    found = []
    for value in op.input_values():
        node = value.get_node()
        while node.get_type_name() in MOVERS:
            node = node.input_value(0).get_node()
        if node.get_type_name() == "Constant" and len(node.get_output_shape(0)) > 1:
            found.append(np.sort(np.asarray(node.data, np.float32), axis=None))
    return found


MOVES = ("Reshape", "Transpose", "Unsqueeze", "Squeeze", "Convert")
"""Operators that may lie between a softmax and the matrix that its result is multiplied with."""


def attends(model: "ov.Model") -> bool:
    """Whether a network has attention: as one operator, or as a softmax whose result is multiplied with a matrix."""
    kinds = {"Softmax", "SoftMax", "ScaledDotProductAttention"}
    waiting = [op for op in model.get_ops() if op.get_type_name() in kinds]
    while waiting:
        op = waiting.pop()
        if op.get_type_name() == "ScaledDotProductAttention":
            return True
        readers = [reader.get_node() for output in op.outputs() for reader in output.get_target_inputs()]
        if any(reader.get_type_name() == "MatMul" for reader in readers):
            # the scores of a classifier are multiplied with nothing
            return True
        waiting += [reader for reader in readers if reader.get_type_name() in MOVES]
    return False


def pooled_with_padding(rounding: "ov.Node") -> bool:
    """Whether the result of a FakeQuantize is averaged over windows that reach beyond its border.

    OpenVINO 2026's integer kernel fills the border with the integer 0 and not with the zero point: where they differ the
    averages there are wrong: a network of joined branches trained for int8 fell from 86.5 to 67.0 %.
    """
    waiting = [rounding]
    while waiting:
        for output in waiting.pop().outputs():
            for reader in (one.get_node() for one in output.get_target_inputs()):
                told = reader.get_attributes() if reader.get_type_name() == "AvgPool" else {}
                if any(told.get("pads_begin", ())) or any(told.get("pads_end", ())):
                    return True
                if reader.get_type_name() in MOVERS:
                    waiting.append(reader)
    return False
