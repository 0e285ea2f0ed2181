"""Graphs that ONNX Runtime optimized before they are shipped, as .onnx or .ort files, and where these may run.

From `layout` on a graph holds layouts for one kind of CPU, and on another ONNX Runtime runs it without a word; so each
file has a note beside it that says what it was made for.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from artifacts.errors import IntegrityError, ModelError
from artifacts.isa import instructions
from artifacts.types import ExportedFile

NOTE = ".optimized.json"
"""The ending of the note beside an optimized file."""

FOR_THIS_CPU = ("layout", "all")
"""Levels of optimization that choose layouts of tensors by the CPU's vector width."""


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

    from artifacts.files import write_json

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


def _listed(isa: set[str]) -> str:
    return "+".join(sorted(isa)) or "no vector instructions that are known"
