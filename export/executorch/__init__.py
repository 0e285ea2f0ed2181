"""ExecuTorch programs, also those that are bundled with tests."""

from export.base import Format

FORMAT = Format(
    "executorch",
    "export.executorch.export:export",
    ("torch", "executorch"),
    (".pte", ".bpte"),
    reader="export.executorch.reading:signature_of",
    names_inputs=False,
)
