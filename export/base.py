"""What a format is: the record that each format's folder or file declares, and what it names. Cheap to import."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from artifacts.plugins import named
from artifacts.specs import Signature
from artifacts.types import ExportedFile, TorchModel

API = 1
"""The version of this interface; a record that was written for another one is refused."""

Exporter = Callable[[TorchModel, Path], ExportedFile]
"""(model, empty folder) -> the file written there, with every sidecar."""

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of given inputs by name, for what a file leaves open."""

Reader = Callable[[Path, Shapes | None], Signature | None]
"""(file, shapes of given inputs) -> what it says that it takes and gives; none where it does not say. Refuses what is no file
of the format."""

Sidecars = Callable[[Path], Sequence[Path]]
"""(main file) -> the files beside it that belong to it."""

Checker = Callable[[ExportedFile, TorchModel], Mapping[str, str]]
"""(file, its network) -> what was checked of it without running it, and what was found: short names and phrases."""


@dataclass(frozen=True)
class Format:
    """A kind of file that a network is written in. What is named `module:function` is imported when it is used."""

    name: str
    entry_point: str | None
    """The `Exporter`; none where only a target's options make such files, from those of another format."""
    libraries: tuple[str, ...]
    """The distributions whose versions decide what is written."""
    suffixes: tuple[str, ...] = ()
    """The endings by which such a file is told, of those that come from anywhere."""
    reader: str | None = None
    """The `Reader`; without one, inputs must be given with such a file."""
    names_inputs: bool = True
    """Whether a file names its inputs; where not, they go by the names of given ones."""
    sidecars: str | None = None
    """The `Sidecars`, besides what begins with the main file's name."""
    checker: str | None = None
    """The `Checker`, for files of a system that may not be this one."""
    weights_beside: str | None = None
    """`ExportedFile -> ExportedFile` with the weights in a file of their own, where the format can."""
    packed: str | None = None
    """The format that stores palettes packed, and is this one to a runtime that unpacks them as it opens a file."""
    through_onnx: bool = False
    """Whether it is written by way of our ONNX export: its opset, metadata and translated operators are in it."""
    holds_any_operator: bool = False
    """Whether operators of the user's own are in it as they are, without a translation."""
    holds_scripted: bool = False
    """Whether modules can be compiled within a traced program."""
    onnx_graph: bool = False
    """Whether the main file is an ONNX graph, so that a part of it can be cut out and run by itself."""
    api: int = API

    def load(self) -> Exporter:
        """The function that writes this format.

        Raises:
            ImportError: a library that it needs is missing.
        """
        assert self.entry_point, f"{self.name} files are made from those of another format"
        made: Exporter = named(self.entry_point)
        return made

    def read_signature(self, path: Path, given: Shapes | None = None) -> Signature | None:
        """What a file says that it takes and gives; none where it does not say.

        Raises:
            RequestError: it cannot be read, or what it takes is no array.
            TargetUnavailable: the library that reads it is missing.
        """
        read: Reader = named(self.reader) if self.reader else lambda path, given: None
        return read(path, given)

    def beside(self, path: Path) -> tuple[Path, ...]:
        """The files that belong to a main file, there or not."""
        list_them: Sidecars = named(self.sidecars) if self.sidecars else lambda path: ()
        return tuple(list_them(path))

    def check(self, file: ExportedFile, model: TorchModel) -> Mapping[str, str]:
        """What can be known of a file without running it: each thing that was looked at, and what was found.

        Raises:
            ModelError: the file is not what was asked for.
        """
        look: Checker = named(self.checker) if self.checker else lambda file, model: {}
        return look(file, model)

    def lay_weights_beside(self, file: ExportedFile) -> ExportedFile:
        """The same file with its weights in one of their own; as it is where the format cannot.

        Raises:
            ModelError: it holds no weights that could lie beside it.
        """
        lay: Callable[[ExportedFile], ExportedFile] = named(self.weights_beside) if self.weights_beside else lambda file: file
        return lay(file)


def weights_bin(path: Path) -> tuple[Path, ...]:
    """The weights of a format that keeps them in `NAME.bin` beside `NAME`."""
    return (path.with_suffix(".bin"),)
