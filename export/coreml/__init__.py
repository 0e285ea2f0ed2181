"""Core ML packages. A package is a folder, so none is told by its ending where files are."""

from export.base import Format

FORMAT = Format("coreml", "export.coreml.export:export", ("torch", "coremltools"), checker="export.coreml.check:inspect")
