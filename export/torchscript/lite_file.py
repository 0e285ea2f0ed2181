"""Files of the lite interpreter of PyTorch Mobile (`.ptl`): opened, and the bytecode in them read.

What a file holds is told in torch/csrc/jit/serialization/export_bytecode.cpp.
"""

import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from artifacts.errors import ModelError

SUFFIX, BYTECODE = ".ptl", "/bytecode.pkl"
CALLS = ("OP", "OPN")
"""The instructions that call an operator; the others move values and jump."""


def load(path: Path) -> Any:
    """Open a file in the lite interpreter, on the CPU.

    Raises:
        ModelError: it is no lite-interpreter file, or has operators that this build of PyTorch lacks.
    """
    from torch.jit.mobile import _load_for_lite_interpreter

    try:
        return _load_for_lite_interpreter(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(f"the lite interpreter of PyTorch cannot open {path.name}: {first_line(error)}") from error


def calls_of(path: Path) -> dict[str, int]:
    """The operators that a file's bytecode calls, and how often they stand in it; a loop's body counts once.

    Raises:
        ModelError: the file holds no bytecode that can be read.
    """
    counts: dict[str, int] = {}
    try:
        for code in _functions(path):
            operators = [operator[0] for operator in code["operators"]]
            for instruction, index, _ in code["instructions"]:
                if instruction in CALLS:
                    counts[operators[index]] = counts.get(operators[index], 0) + 1
    except (pickle.UnpicklingError, zipfile.BadZipFile, OSError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelError(f"the bytecode of {path.name} cannot be read: {first_line(error)}") from error
    return counts


def _functions(path: Path) -> Iterator[dict[str, Any]]:
    with zipfile.ZipFile(path) as archive, archive.open(_only(archive.namelist())) as stored:
        _, *functions = _Bytecode(stored).load()
    for function in functions:
        yield dict(function[1])


def _only(names: list[str]) -> str:
    return next((name for name in names if name.endswith(BYTECODE)), BYTECODE)


class _Nothing:
    """Stands for whatever else a file's bytecode holds, such as its tensors."""

    def __init__(self, *given: Any) -> None:
        """Takes what a tensor is made from."""

    def __setstate__(self, state: Any) -> None:
        """Takes the state of an object."""


class _Bytecode(pickle.Unpickler):
    """Reads numbers, text and tuples, and nothing that could run: no class or function that a file names is looked up."""

    def find_class(self, module: str, name: str) -> type[_Nothing]:
        """One stand-in for all."""
        return _Nothing

    def persistent_load(self, pid: Any) -> None:
        """The bytes of tensors stay in the file."""


def first_line(error: BaseException) -> str:
    """What an error says first."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
