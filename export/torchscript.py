"""TorchScript files, traced or scripted, frozen. A legacy format of PyTorch (deprecated in favour of torch.export)."""

import copy
import warnings
from pathlib import Path
from typing import Any

import torch

from artifacts.errors import ModelError
from artifacts.types import ExportedFile, TorchModel
from compress.fold import example_tensors

FILE = "model.pt"
NOTE = "TorchScript is deprecated by PyTorch in favour of torch.export"


def trace(model: TorchModel, folder: Path) -> ExportedFile:
    """Record one run in eval mode, freeze, save."""

    def record(module: torch.nn.Module) -> Any:
        return torch.jit.trace(module, example_tensors(model.signature))  # type: ignore[no-untyped-call]

    return _write(model, folder, "torchscript-trace", record)


def script(model: TorchModel, folder: Path) -> ExportedFile:
    """Compile the module's own code, control flow included, in eval mode; freeze, save."""
    return _write(model, folder, "torchscript-script", torch.jit.script)


def _write(model: TorchModel, folder: Path, name: str, compile_module: Any) -> ExportedFile:
    module = copy.deepcopy(model.module).eval()
    kind = name.rpartition("-")[2]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            frozen = torch.jit.freeze(compile_module(module))
        except Exception as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(f"TorchScript cannot {kind} the model: {first}; use another target, or the other kind.") from error
        frozen.save(str(folder / FILE))
    return ExportedFile(name, folder, FILE, model.signature, notes=(NOTE,))
