"""The one list of formats; nothing heavy is imported until one is used."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from artifacts.types import ExportedFile, TorchModel

Exporter = Callable[[TorchModel, Path], ExportedFile]
"""(model, empty folder) -> the file written there, with every sidecar."""


@dataclass(frozen=True)
class Format:
    """One row of the list."""

    name: str
    entry_point: str
    libraries: tuple[str, ...]

    def load(self) -> Exporter:
        """The function that writes this format."""
        module, _, name = self.entry_point.partition(":")
        made: Exporter = getattr(importlib.import_module(module), name)
        return made


FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        Format("module", "export.module:export", ("torch", "safetensors")),
        Format("torchscript-trace", "export.torchscript.export:trace", ("torch",)),
        Format("torchscript-script", "export.torchscript.export:script", ("torch",)),
        Format("onnx", "export.onnx.export:export", ("torch", "onnx", "onnxscript")),
        Format("onnx-stock", "export.onnx.export:export_stock", ("torch", "onnx", "onnxscript")),
        Format("onnx-packed", "export.onnx.packing:export", ("torch", "onnx", "onnxscript")),
        Format("openvino", "export.openvino:export", ("torch", "onnx", "onnxscript", "openvino")),
        Format("litert", "export.litert.export:export", ("torch", "litert-torch")),
        Format("ncnn", "export.ncnn:export", ("torch", "pnnx")),
        Format("coreml", "export.coreml.export:export", ("torch", "coremltools")),
        Format("aotinductor", "export.aotinductor:export", ("torch",)),
        Format("executorch", "export.executorch:export", ("torch", "executorch")),
    )
}
