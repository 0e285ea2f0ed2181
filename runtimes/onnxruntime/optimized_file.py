"""Graphs that ONNX Runtime optimized before they are shipped, as .onnx or .ort files, and where these may run.

From `layout` on a graph holds layouts for one kind of CPU, and on another ONNX Runtime runs it without a word; so each
file has a note beside it that says what it was made for.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from artifacts.errors import IntegrityError, ModelError, RequestError
from artifacts.files import write_json
from artifacts.isa import instructions
from artifacts.specs import Signature, TensorSpec
from artifacts.types import ExportedFile

NOTE = ".optimized.json"
"""The ending of the note beside an optimized file."""

FOR_THIS_CPU = ("layout", "all")
"""Levels of optimization that choose layouts of tensors by the CPU's vector width."""

DTYPES = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(bool)": "bool",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}  # fmt: skip
"""ONNX Runtime's names of element types -> NumPy's."""


def write_optimized(file: ExportedFile, settings: Any, level: str, kind: str, folder: Path) -> ExportedFile:
    """Optimize an ONNX file's graph and write it into an empty folder.

    Args:
        file: the ONNX file.
        settings: the `SessionOptions` that it is optimized with; its `optimized_model_filepath` is set.
        level: how far these optimize, for the note beside the file.
        kind: `onnx`, or `ort` for ONNX Runtime's own format.
        folder: empty.

    Raises:
        ModelError: ONNX Runtime cannot open the file, or not write the result.
    """
    import onnxruntime as ort

    path = folder / f"{Path(file.main).stem}.{kind}"
    settings.optimized_model_filepath = str(path)
    if kind == "ort":
        settings.add_session_config_entry("session.save_model_format", "ORT")
    try:
        ort.InferenceSession(str(file.path), settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"ONNX Runtime cannot optimize {file.main}: {str(error).splitlines()[0]}") from error
    said = {"graph_level": level, "isa": list(instructions()), "onnxruntime": ort.__version__}
    write_json(path.with_name(path.name + NOTE), said)
    where = "CPUs with the same vector instructions" if level in FOR_THIS_CPU else "any CPU"
    note = f"optimized by ONNX Runtime {ort.__version__}, graph_level {level}: for {where}"
    return replace(file, folder=folder, main=path.name, format=kind, notes=(*file.notes, note))


def already_optimized(path: Path) -> bool:
    """Whether a file is one of these, which may run here.

    Raises:
        IntegrityError: it was optimized for another kind of CPU.
    """
    beside = path.with_name(path.name + NOTE)
    if not beside.is_file():
        return path.suffix == ".ort"  # it may be external, and its graph is as final as ONNX Runtime's format makes it
    said = json.loads(beside.read_text())
    made_for, here = set(said["isa"]), set(instructions())
    if said["graph_level"] in FOR_THIS_CPU and made_for != here:
        raise IntegrityError(
            f"{path.name} was optimized for a CPU with {_listed(made_for)}, and this one has {_listed(here)}; make it again "
            "here with `tightship run RECIPE`, or for any CPU with `graph_level: extended`."
        )
    return True


def signature_of(path: Path) -> Signature:
    """What an .ort file says of its inputs and outputs.

    Raises:
        ModelError: ONNX Runtime cannot open it.
        RequestError: it takes or gives something that is no array.
    """
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = 1, 3
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"ONNX Runtime cannot open {path.name}: {str(error).splitlines()[0]}") from error

    def spec(argument: Any) -> TensorSpec:
        dtype = DTYPES.get(argument.type)
        if dtype is None:
            raise RequestError(f"{path.name}: {argument.name!r} is of type {argument.type}, which has no NumPy form.")
        dims = tuple(d if isinstance(d, int) else str(d or f"{argument.name}_{i}") for i, d in enumerate(argument.shape))
        return TensorSpec(argument.name, dtype, dims)

    return Signature(tuple(map(spec, session.get_inputs())), tuple(map(spec, session.get_outputs())))


def _listed(isa: set[str]) -> str:
    return "+".join(sorted(isa)) or "no vector instructions that are known"
