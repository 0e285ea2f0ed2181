"""The network itself, stored without pickle: how to build it, its cuts, its tensors."""

from pathlib import Path

from artifacts.types import ExportedFile, TorchModel
from export.base import Format


def export(model: TorchModel, folder: Path) -> ExportedFile:
    """Write `model.json` and `weights.safetensors`."""
    from compress import checkpoint  # it needs torch

    checkpoint.save(model, folder)
    return ExportedFile("module", folder, checkpoint.MODEL_FILE, model.signature)


def sidecars(path: Path) -> tuple[Path, ...]:
    """The tensors."""
    return (path.with_name("weights.safetensors"),)


FORMAT = Format(
    "module",
    "export.module:export",
    ("torch", "safetensors"),
    (".json",),
    sidecars="export.module:sidecars",
    holds_any_operator=True,
)
