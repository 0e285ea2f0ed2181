"""The one list of formats, a line each; others come by the entry points `tightship.formats`. Nothing heavy is imported."""

from artifacts.plugins import Registry
from export.base import API, Format

FORMATS = Registry(
    "format",
    "tightship.formats",
    Format,
    (
        "export.module:FORMAT",
        "export.torchscript:FORMATS",
        "export.onnx:FORMATS",
        "export.openvino:FORMAT",
        "export.litert:FORMAT",
        "export.ncnn:FORMAT",
        "export.coreml:FORMAT",
        "export.aotinductor:FORMAT",
        "export.executorch:FORMAT",
    ),
    API,
)


def of_suffix(suffix: str) -> Format | None:
    """The format of files with this ending; none if there is none."""
    ours = (record for record in FORMATS.own().values() if suffix in record.suffixes)
    return next(ours, None) or next((record for record in FORMATS.values() if suffix in record.suffixes), None)
