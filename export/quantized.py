"""The file of a network in a format, quantized on the way where a quantizer is named."""

import tempfile
from dataclasses import replace
from pathlib import Path

from artifacts.types import ExportedFile, TorchModel
from compress.quantizers import QUANTIZERS, Calibration
from export.registry import FORMATS


def write(
    model: TorchModel, format_name: str, folder: Path, quantizer: str | None, calibration: Calibration | None
) -> ExportedFile:
    """Write a network's file into an empty folder.

    Args:
        model: the float network, or one whose ranges were learned.
        format_name: of `export.registry`.
        folder: where the file goes, with every sidecar.
        quantizer: of `compress.quantizers`; none: the file stays in float.
        calibration: what the quantizer looks at.

    Raises:
        ModelError: the network has no form in this format, or cannot be quantized.
    """
    export = FORMATS[format_name].load()
    if quantizer is None or calibration is None:
        return export(model, folder)
    row = QUANTIZERS[quantizer]
    if row.works_on == "module":
        file = export(replace(model, module=row.load()(calibration)), folder)
        return replace(file, precision=calibration.config.scheme)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".float-") as plain:
        made: ExportedFile = row.load()(export(model, Path(plain)), folder, calibration)
        return made
