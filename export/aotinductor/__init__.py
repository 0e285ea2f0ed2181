"""AOTInductor packages: machine code for the CPU at hand."""

from export.base import Format

FORMAT = Format(
    "aotinductor",
    "export.aotinductor.export:export",
    ("torch",),
    (".pt2",),
    reader="export.aotinductor.package:signature_of",
)
