"""The program in an ExecuTorch file: the file itself, or what a bundled one holds."""

from pathlib import Path

from artifacts.errors import ModelError

METHOD = "forward"


def loadable(path: Path) -> str | bytes:
    """What ExecuTorch loads of a file: the file itself, or the program in a bundled one; its identifier tells, not its name.

    Raises:
        ModelError: a bundled program is damaged.
    """
    with path.open("rb") as stream:
        bundled = stream.read(6)[4:] == b"BP"
    return program_in(path.read_bytes()) if bundled else str(path)


def program_bytes(path: Path) -> bytes:
    """The program in a file."""
    found = loadable(path)
    return found if isinstance(found, bytes) else path.read_bytes()


def program_in(bundled: bytes) -> bytes:
    """The program inside a bundled one.

    Raises:
        ModelError: there is none.
    """
    from executorch.devtools.bundled_program.serialize.generated.bundled_program_flatbuffer import BundledProgram

    try:
        return bytes(BundledProgram.BundledProgram.GetRootAs(bundled, 0).ProgramAsNumpy())
    except Exception as error:
        raise ModelError(f"the bundled program is damaged: {type(error).__name__}: {error}.") from None
