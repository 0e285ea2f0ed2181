"""The network itself, stored without pickle: how to build it, its cuts, its tensors."""

from pathlib import Path

from artifacts.types import ExportedFile, TorchModel
from compress import checkpoint


def export(model: TorchModel, folder: Path) -> ExportedFile:
    """Write `model.json` and `weights.safetensors`."""
    checkpoint.save(model, folder)
    return ExportedFile("module", folder, checkpoint.MODEL_FILE, model.signature)
