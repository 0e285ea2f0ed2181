"""LiteRT files."""

from export.base import Format

FORMAT = Format(
    "litert",
    "export.litert.export:export",
    ("torch", "litert-torch"),
    (".tflite",),
    reader="export.litert.reading:signature_of",
)
