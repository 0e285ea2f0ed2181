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
from export.onnx.metadata import write_metadata, write_ranges
from export.onnx.names import name_interface, stand_ins
from export.onnx.operators import WHERE, refuse_other_domains, translations
from export.onnx.tidy import LARGE, pool_globally, share_equal_weights, strip

FILE = "model.onnx"
SINGLE_FILE_LIMIT = 1_500_000_000
"""Bytes of weights above which they go into a sidecar: protobuf ends at 2 GiB."""
LACKING = re.compile(r"No ONNX function found for <OpOverload\(op='(\w+)\.(\w+)', overload='(\w+)'\)>")
LACKING_FLOW = re.compile(r"No ONNX function found for <torch\._higher_order_ops\.(\w+)\.")
"""Control flow that PyTorch has and its exporter lacks."""


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
    renamed = name_interface(proto, [s.name for s in model.signature.inputs], [s.name for s in model.signature.outputs])
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
    return ExportedFile("onnx", folder, FILE, model.signature, notes=(f"opset {opset}", *renamed, *_translated(model)))


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
    program = _program(copy.deepcopy(model.module).eval(), model)
    program.save(folder / FILE, external_data=False)
    proto = onnx.load(folder / FILE)
    name_interface(proto, [s.name for s in model.signature.inputs], [s.name for s in model.signature.outputs])
    onnx.save(proto, folder / FILE)
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
                input_names=stand_ins("input", len(model.signature.inputs)),
                output_names=stand_ins("output", len(model.signature.outputs)),
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
        if flow := LACKING_FLOW.search(str(error)):
            raise ModelError(
                f"the model has no ONNX form: PyTorch's exporter lacks the control flow {flow[1]!r}; "
                "write it with torch.cond, while_loop or scan, which become If, Loop and Scan."
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
