"""ONNX files through torch.export: folded, with named dynamic dimensions, the opset read back, nothing machine-specific."""

import copy
import logging
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import torch

from artifacts.errors import ModelError, TightshipError
from artifacts.types import ExportedFile, TorchModel
from compress.fold import dynamic_shapes, example_tensors, fold
from export.onnx_metadata import write_metadata, write_ranges
from export.operators import WHERE, refuse_other_domains, translations

FILE = "model.onnx"
SINGLE_FILE_LIMIT = 1_500_000_000
"""Bytes of weights above which they go into a sidecar: protobuf ends at 2 GiB."""
LARGE = 1024
"""Bytes from which equal weights are kept once, and lie in a sidecar; below, names are worth more."""
LACKING = re.compile(r"No ONNX function found for <OpOverload\(op='(\w+)\.(\w+)', overload='(\w+)'\)>")


def export(model: TorchModel, folder: Path) -> ExportedFile:
    """Write `model.onnx` (and `model.onnx.data` above 1.5 GB), checked and at the opset that was asked for.

    Raises:
        ModelError: an operator has no ONNX form, its translation does not fit, or the exporter did not keep to the opset.
    """
    graph = fold(model.module, model.signature)
    program = _program(graph, model)
    program.save(folder / FILE, external_data=_weight_bytes(graph) > SINGLE_FILE_LIMIT)
    proto = onnx.load(folder / FILE, load_external_data=False)
    opset = next(o.version for o in proto.opset_import if o.domain in ("", "ai.onnx"))
    if opset != model.onnx.opset:
        raise ModelError(f"the ONNX exporter wrote opset {opset} where {model.onnx.opset} was asked for; the file was refused.")
    strip(proto)
    refuse_other_domains(proto)
    write_ranges(proto, model.signature.ranges)
    write_metadata(proto, model.onnx.metadata)
    pool_globally(proto, folder)
    share_equal_weights(proto)
    proto.producer_name = "tightship"
    proto.producer_version = ""
    onnx.save(proto, folder / FILE)
    try:
        onnx.checker.check_model(str(folder / FILE), full_check=True)
    except Exception as error:
        raise ModelError(f"the ONNX file is not valid: {str(error).splitlines()[0]}.") from error
    return ExportedFile("onnx", folder, FILE, model.signature, notes=(f"opset {opset}", *_translated(model)))


def weights_beside(file: ExportedFile) -> ExportedFile:
    """The same ONNX file with its weights in a sidecar, `model.onnx.data`.

    Raises:
        ModelError: the file holds no weights that could lie beside it.
    """
    proto = onnx.load(file.path)
    if not any(len(tensor.raw_data) >= LARGE for tensor in proto.graph.initializer):
        raise ModelError(f"{file.main} has no weights that could lie in a file of their own; leave export.onnx.sidecar out.")
    beside = f"{file.main}.data"
    # onnx appends to a sidecar that is there
    (file.folder / beside).unlink(missing_ok=True)
    onnx.save(proto, file.path, save_as_external_data=True, all_tensors_to_one_file=True, location=beside, size_threshold=LARGE)
    onnx.checker.check_model(str(file.path), full_check=True)
    return replace(file, notes=(*file.notes, f"weights in {beside}"))


def export_stock(model: TorchModel, folder: Path) -> ExportedFile:
    """What torch.onnx.export writes by itself: the yardstick that our files are measured against.

    Raises:
        ModelError: an operator has no ONNX form.
    """
    _program(copy.deepcopy(model.module).eval(), model).save(folder / FILE, external_data=False)
    return ExportedFile("onnx", folder, FILE, model.signature, notes=("torch.onnx.export as it is",))


def _translated(model: TorchModel) -> tuple[str, ...]:
    return tuple(f"{name} translated by {spec}" for name, spec in model.operators.items())


def _weight_bytes(graph: torch.nn.Module) -> int:
    return sum(t.numel() * t.element_size() for t in graph.state_dict().values())


def _program(graph: torch.nn.Module, model: TorchModel) -> Any:
    table = translations(model.operators)
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            return torch.onnx.export(
                graph,
                example_tensors(model.signature),
                dynamo=True,
                verbose=False,
                opset_version=model.onnx.opset,
                input_names=[s.name for s in model.signature.inputs],
                output_names=[s.name for s in model.signature.outputs],
                dynamic_shapes=tuple(dynamic_shapes(model.signature).values()),
                optimize=True,
                custom_translation_table=table or None,
            )
    except Exception as error:
        if ours := _ours(error):
            raise ours from error
        if lacking := LACKING.search(str(error)):
            space, name, overload = lacking.groups()
            whole = f"{space}::{name}" + ("" if overload == "default" else f".{overload}")
            raise ModelError(
                f"the model has no ONNX form: ONNX lacks {whole!r}; say under {WHERE} in the recipe how it is translated."
            ) from error
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        cause = next((line for line in reversed(lines) if "not" in line.lower()), (lines or [""])[-1])
        raise ModelError(f"the model has no ONNX form: {type(error).__name__}: {cause}") from error
    finally:
        quiet.setLevel(level)


def _ours(error: BaseException | None) -> TightshipError | None:
    """What was raised on purpose while the exporter ran."""
    while error is not None and not isinstance(error, TightshipError):
        error = error.__cause__
    return error


def pool_globally(proto: onnx.ModelProto, folder: Path) -> None:
    """Turn a mean over both image axes into GlobalAveragePool, which has integer kernels where ReduceMean has none."""
    wanted = {node.input[1] for node in proto.graph.node if node.op_type == "ReduceMean" and len(node.input) > 1}
    constants = {i.name: onnx.numpy_helper.to_array(i, str(folder)) for i in proto.graph.initializer if i.name in wanted}
    ranks = {v.name: len(v.type.tensor_type.shape.dim) for v in (*proto.graph.value_info, *proto.graph.input)}
    for node in proto.graph.node:
        if node.op_type != "ReduceMean" or ranks.get(node.input[0]) != 4 or len(node.input) < 2:
            continue
        axes = constants.get(node.input[1])
        keeps = all(a.i for a in node.attribute if a.name == "keepdims")
        if axes is not None and keeps and {int(a) % 4 for a in axes} == {2, 3}:
            node.op_type = "GlobalAveragePool"
            del node.input[1:]
            del node.attribute[:]
    used = {name for node in proto.graph.node for name in node.input}
    for initializer in [i for i in proto.graph.initializer if i.name not in used]:
        proto.graph.initializer.remove(initializer)


def share_equal_weights(proto: onnx.ModelProto) -> None:
    """Keep one of each set of equal large weights: folding writes a weight that layers share once for each of them."""
    kept: dict[tuple[Any, ...], str] = {}
    other: dict[str, str] = {}
    for weight in list(proto.graph.initializer):
        if len(weight.raw_data) < LARGE:
            continue
        name = kept.setdefault((weight.data_type, tuple(weight.dims), weight.raw_data), weight.name)
        if name != weight.name:
            other[weight.name] = name
            proto.graph.initializer.remove(weight)
    for node in proto.graph.node:
        node.input[:] = [other.get(name, name) for name in node.input]


def strip(proto: onnx.ModelProto) -> None:
    """Take out what is not the model: stack traces, source paths and names of Python objects."""
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
    proto.graph.doc_string = proto.doc_string = ""
    for item in (
        *proto.graph.node,
        *proto.graph.value_info,
        *proto.graph.input,
        *proto.graph.output,
        *proto.graph.initializer,
    ):
        del item.metadata_props[:]
        item.doc_string = ""
