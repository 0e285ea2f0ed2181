"""OpenVINO IR (`.xml` with its `.bin`): read from our ONNX export, with the names and dynamic dimensions of the signature."""

import tempfile
from pathlib import Path
from typing import Any

from artifacts.errors import ModelError, TargetUnavailable
from artifacts.types import ExportedFile, TorchModel
from compress.quantizers.openvino.graph import save
from export.onnx.export import export as export_onnx

FILE = "model.xml"


def export(model: TorchModel, folder: Path) -> ExportedFile:
    """Write `model.xml` and `model.bin` with float32 weights.

    Raises:
        TargetUnavailable: openvino is not installed.
        ModelError: the model has no ONNX form, or OpenVINO cannot read it.
    """
    try:
        import openvino as ov
    except ImportError as error:
        raise TargetUnavailable(f"OpenVINO files need {error.name}: pip install 'tightship[openvino]'.") from None
    with tempfile.TemporaryDirectory() as between:
        plain = export_onnx(model, Path(between))
        try:
            # not convert_model, which notes the path it read from in the file and reports its use over the network
            read = ov.Core().read_model(plain.path)
            _keep_names(read, model)
            save(read, folder / FILE)
        except Exception as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise ModelError(f"OpenVINO cannot take the model: {(lines or [type(error).__name__])[-1]}.") from error
    return ExportedFile("openvino", folder, FILE, model.signature, notes=("OpenVINO IR 11, float32 weights",))


def _keep_names(read: Any, model: TorchModel) -> None:
    """Give every input and output its name in the signature, should the reader have dropped one.

    Raises:
        ModelError: the file has another number of inputs or outputs.
    """
    for kind, ports, specs in (
        ("input", read.inputs, model.signature.inputs),
        ("output", read.outputs, model.signature.outputs),
    ):
        if specs and len(ports) != len(specs):
            raise ModelError(f"the IR has {len(ports)} {kind}s where the model has {len(specs)}")
        for port, spec in zip(ports, specs, strict=bool(specs)):
            if spec.name not in port.get_names():
                port.add_names({spec.name})
