"""OpenVINO IR, read from our ONNX export."""

from export.base import Format

FORMAT = Format(
    "openvino",
    "export.openvino.export:export",
    ("torch", "onnx", "onnxscript", "openvino"),
    (".xml",),
    reader="export.openvino.reading:signature_of",
    sidecars="export.base:weights_bin",
    through_onnx=True,
)
