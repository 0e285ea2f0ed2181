"""TorchScript programs written for the lite interpreter of PyTorch Mobile (`.ptl`).

PyTorch Mobile is at its end of life: ExecuTorch replaces it (https://docs.pytorch.org/executorch). `optimize_for_mobile` is
not called, because it needs an XNNPACK that PyTorch's x86 wheels are built without.
"""

import warnings
from dataclasses import replace
from pathlib import Path

import torch

from artifacts.errors import ModelError
from artifacts.types import ExportedFile
from export.torchscript.export import strip
from export.torchscript.lite_file import SUFFIX, first_line, load

FORMAT = "torchscript-lite"
NOTES = (
    "lite-interpreter file for PyTorch Mobile, which is at its end of life; ExecuTorch replaces it",
    "written without optimize_for_mobile: PyTorch's x86 wheels are built without the XNNPACK that it needs",
)


def write_lite(file: ExportedFile, folder: Path) -> ExportedFile:
    """Write a TorchScript program for the lite interpreter into an empty folder, and open it there once.

    Raises:
        ModelError: it cannot be written, or the lite interpreter cannot open what was written.
    """
    path = folder / f"{Path(file.main).stem}{SUFFIX}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # a program that was read back has the class names of its file, so equal programs make equal files
            program = torch.jit.load(str(file.path), map_location="cpu")  # type: ignore[no-untyped-call]
            program._save_for_lite_interpreter(str(path))
            strip(path)
        except Exception as error:
            raise ModelError(
                f"TorchScript cannot write the program for the lite interpreter: {first_line(error)}; leave out `file: lite`."
            ) from error
        load(path)
    return replace(file, folder=folder, main=path.name, format=FORMAT, notes=(*file.notes, *NOTES))
