"""What a format with settings of its own is to the rest: something that reads a task, and names the files it reads."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from pathlib import Path

from artifacts.errors import DataError
from artifacts.files import sha256_file, sha256_json
from artifacts.json import JsonValue
from zoo.metrics import Names
from zoo.splits import TaskData


@dataclass(frozen=True)
class Source(ABC):
    """Data in a format, with how it is read: plain values and paths."""

    @abstractmethod
    def read(self, metric: Names) -> TaskData:
        """The training and test split, scored by `metric` or the usual one of its targets.

        Raises:
            DataError: what is wrong with the data, in one sentence that names the file.
            TargetUnavailable: the library that reads the format is missing.
        """

    @abstractmethod
    def files(self) -> list[Path]:
        """All that is read, for the fingerprint."""


def digest_of(source: Source) -> str:
    """A digest of a source's settings and of its files' bytes; where the files lie does not matter.

    Raises:
        DataError: there are none, or one is missing.
    """
    values = {field.name: getattr(source, field.name) for field in fields(source)}
    places = [value for value in values.values() if isinstance(value, Path)]
    settings: dict[str, JsonValue] = {
        name: list(value) if isinstance(value, tuple) else value for name, value in values.items() if value not in places
    }
    return sha256_json([type(source).__name__, settings, digest_of_files(source.files(), places)])


def digest_of_files(files: list[Path], places: list[Path]) -> list[JsonValue]:
    """By file its path below the first of the places that it lies in, and the SHA-256 of its bytes.

    Raises:
        DataError: there are none, or one is missing.
    """
    missing = [path for path in files if not path.is_file()]
    if missing or not files:
        raise DataError(f"no data at {(missing or places)[0]}; check the recipe's `data`.")
    return [[_below(path, places), sha256_file(path)] for path in files]


def _below(path: Path, places: list[Path]) -> str:
    above = next((place for place in places if path != place and path.is_relative_to(place)), path.parent)
    return path.relative_to(above).as_posix()
