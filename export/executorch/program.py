"""The program in an ExecuTorch file: the file itself, or what a bundled one holds."""

from pathlib import Path

from artifacts.errors import ModelError

METHOD = "forward"
PROGRAM, BUNDLED = b"ET", b"BP"
"""What identifies the two kinds of files, from their fifth byte on (FlatBuffers' file identifier, without the version)."""


def loadable(path: Path) -> str | bytes:
    """What ExecuTorch loads of a file: the file itself, or the program in a bundled one; its identifier tells, not its name.

    Raises:
        ModelError: it is neither, or a bundled program is damaged.
    """
    with path.open("rb") as stream:
        kind = stream.read(6)[4:]
    if kind not in (PROGRAM, BUNDLED):  # ExecuTorch itself ends the process over some files that are none
        raise ModelError("it holds no program")
    return program_in(path.read_bytes()) if kind == BUNDLED else str(path)


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
