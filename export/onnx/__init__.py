"""ONNX files: ours, what torch.onnx.export writes by itself, with packed palettes, and optimized by ONNX Runtime."""

from dataclasses import replace

from export.base import Format

ONNX = Format(
    "onnx",
    "export.onnx.export:export",
    ("torch", "onnx", "onnxscript"),
    (".onnx",),
    reader="export.onnx.reading:signature_of",
    sidecars="export.onnx.reading:sidecars",
    weights_beside="export.onnx.export:weights_beside",
    packed="onnx-packed",
    through_onnx=True,
    onnx_graph=True,
)
FORMATS = (
    ONNX,
    replace(ONNX, name="onnx-stock", entry_point="export.onnx.export:export_stock", suffixes=(), packed=None),
    replace(ONNX, name="onnx-packed", entry_point="export.onnx.packing:export", suffixes=(), packed=None),
    Format("ort", None, ("onnxruntime",), (".ort",), reader="export.onnx.ort:signature_of"),
)
