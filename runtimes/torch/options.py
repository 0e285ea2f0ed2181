"""What a recipe may tell the runtimes of PyTorch: how tensors lie in memory, and which TorchScript file is shipped."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from artifacts.errors import RequestError
from artifacts.types import ExportedFile
from runtimes.options import Options, OptionValue


@dataclass(frozen=True)
class TorchOptions(Options):
    """Options of every runtime of PyTorch on the CPU that opens a network or a program."""

    channels_last: bool = False
    """Whether 4-D inputs and weights lie (N, H, W, C) in memory."""


@dataclass(frozen=True)
class TorchScriptOptions(TorchOptions):
    """Options of TorchScript, whose program may be shipped for PyTorch Mobile."""

    making: ClassVar[frozenset[str]] = frozenset({"file"})

    file: Literal["pt", "lite"] = "pt"
    """`lite`: the program with its bytecode (`.ptl`), which the lite interpreter of PyTorch Mobile runs."""

    def __post_init__(self) -> None:
        if self.file == "lite" and self.channels_last:
            raise RequestError(
                "channels_last lays out the weights as the program is opened, which the lite interpreter does not allow; "
                "leave out channels_last or `file: lite`."
            )

    @property
    def of_the_file(self) -> Mapping[str, OptionValue]:
        """What decides a lite file."""
        return {"file": self.file} if self.file == "lite" else {}

    def rewrite(self, file: ExportedFile, folder: Path) -> ExportedFile:
        """The lite file, written by PyTorch.

        Raises:
            ModelError: the lite interpreter cannot hold or open the program.
        """
        from export.torchscript.lite import write_lite

        return write_lite(file, folder)
