"""How a runtime is told to open a file: the options that it knows, each with its values and a default.

Standard library only: a measured child reads options too, and what it imports is part of the cold start.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

from artifacts.errors import RequestError, nearest
from artifacts.types import Arrays, ExportedFile

O = TypeVar("O", bound="Options")  # noqa: E741
OptionValue = bool | int | str
"""What an option can be, as a recipe says it."""
MOST = 1024
"""The largest whole number that an option takes."""


@dataclass(frozen=True)
class Examples:
    """Examples that a shipped file can be tested with where it runs, in the order of its inputs and outputs."""

    inputs: Arrays
    """First axis the examples."""
    expected: Arrays
    of: str
    """The network whose outputs are expected, such as `float`."""
    atol: float
    """How far an output may be from what is expected."""


@dataclass(frozen=True)
class Options:
    """A target's options: a subclass has a field for each: a switch, a choice, a whole number from 1 on, or a file's path."""

    beside: ClassVar[frozenset[str]] = frozenset()
    """The options that only add files to the self-test: what is shipped and how it is opened do not depend on them."""
    making: ClassVar[frozenset[str]] = frozenset()
    """The options that decide what file is made, and not how one is opened."""
    test_files: ClassVar[tuple[str, ...]] = ()
    """The files that `add_tests` may write."""
    external: ClassVar[frozenset[str]] = frozenset()
    """The options for files made elsewhere, which a recipe refuses."""

    @property
    def of_the_file(self) -> Mapping[str, OptionValue]:
        """Those that decide what file is shipped; empty where the exported file is opened as it is."""
        return {}

    @property
    def bound_to_cpu(self) -> bool:
        """Whether the shipped file fits CPUs with the same vector instructions only."""
        return False

    @property
    def threads(self) -> int | None:
        """CPU threads of a call, where the options say so."""
        return None

    def rewrite(self, file: ExportedFile, folder: Path) -> ExportedFile:
        """The file that is shipped, written into the empty `folder` where `of_the_file` says that it is another one."""
        return file

    def add_tests(self, program: Path, tests: Examples, folder: Path) -> tuple[str, ...]:
        """Write further files of the self-test into `folder`, where the options ask for any; notes that name them."""
        return ()

    @classmethod
    def refuse_tests(cls, program: Path, folder: Path) -> str | None:
        """Why the `test_files` in `folder` are not of `program`; none if nothing speaks against it."""
        return None

    def session_options(self) -> dict[str, OptionValue]:
        """Those of `said` that a file is opened with."""
        return {name: value for name, value in self.non_default().items() if name not in self.beside}

    def non_default(self) -> dict[str, OptionValue]:
        """The options that are not at their default, as plain values."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}


def read_options(kind: type[O], given: Mapping[str, object], target: str) -> O:
    """A target's options from plain values, such as those of a recipe.

    >>> read_options(OrtCpuOptions, {"spinning": False}, "onnxruntime-cpu").spinning
    False

    Raises:
        RequestError: an option is unknown, not of its type or beyond its limits, or two contradict each other.
    """
    kinds = {f.name: get_type_hints(kind)[f.name] for f in fields(kind)}
    for name, value in given.items():
        if name not in kinds:
            raise RequestError(f"target {target} has no option {name!r}; {_known(str(name), list(kinds))}.")
        if not _fits(value, kinds[name]):
            raise RequestError(f"option {name} of target {target} is {value!r}; {_wanted(value, kinds[name])}.")
    return kind(**given)


def from_text(kind: type[Options], name: str, text: str) -> OptionValue:
    """The value that `name=text` means on a command line; the text itself where it fits nothing."""
    hint = get_type_hints(kind).get(name)
    if hint is bool and text in ("true", "false"):
        return text == "true"
    return int(text) if hint is not None and int in _alternatives(hint) and text.isdecimal() else text


def _alternatives(hint: object) -> tuple[object, ...]:
    """A choice as itself, `int | None` as its parts."""
    return (hint,) if get_origin(hint) is Literal else get_args(hint) or (hint,)


def _fits(value: object, hint: object) -> bool:
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if str in _alternatives(hint):
        return isinstance(value, str) and value != ""
    if isinstance(value, bool):
        return hint is bool
    return int in _alternatives(hint) and isinstance(value, int) and 1 <= value <= MOST


def _wanted(value: object, hint: object) -> str:
    if hint is bool:
        return "it is true or false"
    if get_origin(hint) is Literal:
        return _known(str(value), list(get_args(hint)))
    if str in _alternatives(hint):
        return "it is the path of a file"
    return f"it is a whole number from 1 to {MOST}"


def _known(word: str, known: list[str]) -> str:
    """The nearest word, where one is near, and all of them."""
    hint, every = nearest(word, known), ", ".join(known) or "none"
    return f"known: {every}" if hint.startswith("known") else f"{hint}? known: {every}"
