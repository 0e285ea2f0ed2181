"""TorchScript programs, traced or scripted, and those of the lite interpreter, which are made from them."""

from export.base import Format

READER = "export.torchscript.reading:signature_of"
FORMATS = (
    Format("torchscript-trace", "export.torchscript.export:trace", ("torch",), (".pt",), reader=READER, holds_scripted=True),
    Format("torchscript-script", "export.torchscript.export:script", ("torch",), reader=READER),
    Format("torchscript-lite", None, ("torch",), (".ptl",), reader=READER),
)
