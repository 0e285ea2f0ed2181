"""Data sets of Hugging Face as `save_to_disk` writes them: Arrow files, of which a batch reads what it needs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError, TargetUnavailable, nearest
from artifacts.files import sha256_file, sha256_json
from artifacts.types import Array
from zoo.metrics import Names
from zoo.readers.common import Part, task_of
from zoo.readers.pictures import rgb_planes
from zoo.readers.source import Source
from zoo.splits import Column, TaskData, held

if TYPE_CHECKING:
    from datasets import Dataset

TESTS = ("test", "validation")
"""The split that a network is scored on: the first of these that there is."""

USUAL_TARGETS = ("label", "labels", "target")


@dataclass(frozen=True)
class HfFolder(Source):
    """A folder that `DatasetDict.save_to_disk` wrote; without names the inputs are all columns but the target."""

    folder: Path
    inputs: tuple[str, ...] | None = None
    target: str | None = None

    def files(self) -> list[Path]:
        """See `Source`."""
        return sorted(p for p in self.folder.rglob("*") if p.is_file() and not p.name.startswith(("cache-", ".")))

    def read(self, metric: Names) -> TaskData:
        """See `Source`."""
        splits = self._opened()
        test = next((name for name in TESTS if name in splits), None)
        if "train" not in splits or test is None:
            raise DataError(f"{self.folder} must have the splits train and test (or validation); it has {', '.join(splits)}.")
        target = self._target(splits["train"])
        labels = _class_names(splits["train"], target)
        training, scored = (self._part(splits[name], target, labels, name) for name in ("train", test))
        return task_of(self.folder.name, training, scored, metric, labels)

    def _opened(self) -> "dict[str, Dataset]":
        try:
            import datasets
        except ImportError as error:
            raise TargetUnavailable(f"`hf` needs {error.name}: pip install 'tightship[hf-data]'.") from None
        if not (self.folder / "dataset_dict.json").is_file():
            raise DataError(f"{self.folder} holds no dataset_dict.json: it is no DatasetDict that `save_to_disk` wrote.")
        try:
            return dict(datasets.DatasetDict.load_from_disk(str(self.folder)))
        except Exception as error:  # whatever Arrow, JSON and the library raise for damaged files
            raise DataError(f"{self.folder} cannot be read as a data set: {_first_line(error)}.") from None

    def _target(self, train: "Dataset") -> str:
        if self.target is not None:
            return _known(train, self.target, self.folder)
        classes = [name for name, feature in train.features.items() if hasattr(feature, "names")]
        usual = [name for name in USUAL_TARGETS if name in train.features]
        found = classes if len(classes) == 1 else usual
        if not found:
            raise DataError(f"{self.folder} has the columns {', '.join(train.features)}; say which is the `target`.")
        return found[0]

    def _part(self, split: "Dataset", target: str, labels: tuple[str, ...] | None, part: str) -> Part:
        names = self.inputs if self.inputs is not None else tuple(name for name in split.features if name != target)
        where = f"{self.folder}, split {part}"
        columns = {name: held(_column(split, _known(split, name, self.folder), where)) for name in names}
        if not columns or not len(split):
            raise DataError(f"{where} has no {'rows' if columns else 'inputs'}.")
        targets = _column(split, _known(split, target, self.folder), where, text=True)[:]
        if labels is not None and targets.dtype.kind in "US":
            unknown = sorted(set(targets.tolist()) - set(labels))
            if unknown:
                raise DataError(f"{where} has the class {unknown[0]!r}, which no training row has.")
        return columns, targets


@dataclass(frozen=True)
class ArrowColumn:
    """One column of a data set on disk."""

    split: "Dataset"
    name: str
    convert: Callable[[list[Any]], Array]
    """From the values of some rows to one array."""
    one: tuple[int, ...]
    dtype: np.dtype[np.generic]
    where: str

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, ...)."""
        return (len(self.split), *self.one)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Array:
        """The examples of these rows, in their order.

        Raises:
            DataError: one is missing, or of another shape than the first.
        """
        chosen = np.arange(len(self.split))[rows]
        parts = [self._some(chosen[i : i + 256]) for i in range(0, len(chosen), 256)]
        return np.concatenate(parts) if parts else np.empty((0, *self.one), self.dtype)

    def _some(self, chosen: NDArray[np.int64]) -> Array:
        try:
            found = self.convert(self.split[chosen.tolist()][self.name])
        except Exception as error:  # whatever Arrow and Pillow raise for damaged values
            raise DataError(
                f"{self.where}: rows {chosen[0]} to {chosen[-1]} of column {self.name!r} make no array {self.one}: "
                f"{_first_line(error)}."
            ) from None
        if found.shape[1:] != self.one or (found.dtype.kind not in "US" and found.dtype != self.dtype):
            raise DataError(
                f"{self.where}: column {self.name!r} must be of one shape and type: the first row is {self.dtype} {self.one}, "
                f"and one of rows {chosen[0]} to {chosen[-1]} is {found.dtype} {found.shape[1:]}."
            )
        return found

    def digest(self) -> str:
        """See `zoo.splits.Column`."""
        return sha256_json([self.name, *(sha256_file(Path(file["filename"])) for file in self.split.cache_files)])


def _column(split: "Dataset", name: str, where: str, text: bool = False) -> Column:
    from datasets import Image

    split = split.select_columns([name])
    pictures = isinstance(split.features[name], Image)
    if pictures:
        split = split.cast_column(name, Image())  # it may have been saved to be read undecoded
    convert = partial(_array, pictures=pictures)
    if not len(split):
        raise DataError(f"{where} has no rows.")
    try:
        first = convert(split[[0]][name])
    except Exception as error:  # as above
        raise DataError(f"{where}: the first row of column {name!r} makes no array: {_first_line(error)}.") from None
    if first.dtype.kind in "US" and not text:
        raise DataError(f"{where}: column {name!r} holds text; name the `inputs` that are numbers, or give tokens.")
    return ArrowColumn(split, name, convert, first.shape[1:], first.dtype, where)


def _array(values: list[Any], pictures: bool) -> Array:
    """The values of some rows as (N, ...): pictures as RGB planes of bytes, real numbers as float32."""
    if any(value is None for value in values):
        raise ValueError("a value is missing")
    made = np.stack([rgb_planes(value) for value in values]) if pictures else np.asarray(values)
    if made.dtype.kind not in "biufUS":
        raise TypeError(f"its values are {made.dtype}, and needed are numbers, lists of one length, or images")
    return made.astype(np.float32) if made.dtype == np.float64 else made


def _class_names(split: "Dataset", target: str) -> tuple[str, ...] | None:
    """The names of the classes, where the column of targets has them or is text."""
    names = getattr(split.features[target], "names", None)
    if names:
        return tuple(names)
    if getattr(split.features[target], "dtype", None) in ("string", "large_string"):
        return tuple(sorted({str(name) for name in split.unique(target)}))
    return None


def _known(split: "Dataset", name: str, folder: Path) -> str:
    if name not in split.features:
        raise DataError(f"{folder} has no column {name!r}; {nearest(name, split.features)}.")
    return name


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
