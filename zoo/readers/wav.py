"""Folders of WAV files, one folder a class or the class in the name: mono float32, all of one length."""

import warnings
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError
from artifacts.types import Array
from zoo.metrics import Names
from zoo.readers.columns import PARTS, ClassFolders, FileColumn, class_folders
from zoo.readers.common import task_of
from zoo.readers.source import Source
from zoo.splits import TaskData, held

SUFFIX = ".wav"
TEST_SHARE = 5
"""Without folders for the splits, one of so many files of each class is for the test."""


@dataclass(frozen=True)
class WavFolder(Source):
    """`train/CLASS/*.wav` and `test/CLASS/*.wav`, or `CLASS_*.wav` in one folder; the input is `audio` (N, 1, samples)."""

    folder: Path
    samples: int | None = None
    test_files: str | None = None

    def files(self) -> list[Path]:
        """See `Source`."""
        return sorted(p for p in self.folder.rglob("*") if p.suffix.lower() == SUFFIX and p.is_file())

    def read(self, metric: Names) -> TaskData:
        """See `Source`."""
        found = self._found()
        rate = _header(self.folder / found.names["train"][0])[0]
        samples = self.samples or self._longest(found.names["train"], rate)
        decode = partial(read_wav, rate=rate, samples=samples)
        columns = {
            part: FileColumn(self.folder, found.names[part], decode, (1, samples), np.dtype(np.float32)) for part in PARTS
        }
        train, test = (({"audio": held(columns[part])}, found.targets[part]) for part in PARTS)
        return task_of(self.folder.name, train, test, metric, found.labels)

    def _found(self) -> ClassFolders:
        if (self.folder / "train").is_dir():
            if self.test_files is not None:
                raise DataError(f"{self.folder} has folders train and test; leave out `test_files`.")
            return class_folders(self.folder, "recordings", SUFFIX)
        return self._flat()

    def _flat(self) -> ClassFolders:
        names = sorted(p.name for p in self.folder.glob("*_*") if p.suffix.lower() == SUFFIX and not p.name.startswith("."))
        if not names:
            raise DataError(f"{self.folder} must hold train/CLASS/*.wav and test/CLASS/*.wav, or files CLASS_*.wav.")
        labels = tuple(sorted({_label(name) for name in names}))
        tests = {n for n in names if fnmatch(n, self.test_files)} if self.test_files is not None else _drawn(names)
        if not tests or len(tests) == len(names):
            raise DataError(f"of {len(names):,} files in {self.folder} {len(tests):,} are for the test ({self.test_files!r}).")
        parts = {"train": tuple(n for n in names if n not in tests), "test": tuple(n for n in names if n in tests)}
        unknown = {_label(name) for name in tests} - {_label(name) for name in parts["train"]}
        if unknown:
            raise DataError(f"all files of the class {min(unknown)!r} in {self.folder} are for the test ({self.test_files!r}).")
        numbers = {label: number for number, label in enumerate(labels)}
        targets = {part: np.asarray([numbers[_label(n)] for n in chosen]) for part, chosen in parts.items()}
        return ClassFolders(labels, parts, targets)

    def _longest(self, names: tuple[str, ...], rate: int) -> int:
        found = 0
        for name in names:
            its_rate, samples = _header(self.folder / name)
            if its_rate != rate:
                raise _other_rate(self.folder / name, its_rate, rate)
            found = max(found, samples)
        return found


def _label(name: str) -> str:
    return name.partition("_")[0]


def _drawn(names: list[str]) -> set[str]:
    """A fixed draw of every class; a class of one file stays in the training split."""
    tests: set[str] = set()
    for number, label in enumerate(sorted({_label(name) for name in names})):
        mine = [name for name in names if _label(name) == label]
        order = np.random.default_rng([0, number]).permutation(len(mine))
        tests |= {mine[i] for i in order[: max(1, len(mine) // TEST_SHARE) if len(mine) > 1 else 0]}
    return tests


def read_wav(path: Path, rate: int, samples: int) -> NDArray[np.float32]:
    """A recording as (1, samples) in -1..1: channels averaged, cut at its end or continued with zeros.

    Args:
        path: PCM of 8, 16, 24, 32 or 64 bits, or floats.
        rate: that it must have, in Hz.
        samples: how many are given.

    Raises:
        DataError: it is no such file, has another rate, or holds what is no number.
    """
    its_rate, raw = _opened(path, mapped=False)
    if its_rate != rate:
        raise _other_rate(path, its_rate, rate)
    if raw.dtype.kind == "u":
        scaled = (raw.astype(np.float32) - 128) / 128
    elif raw.dtype.kind == "i":
        # 24 bits come in the upper ones of 32
        scaled = (raw.astype(np.float64) / 2.0 ** (8 * raw.dtype.itemsize - 1)).astype(np.float32)
    else:
        scaled = raw.astype(np.float32)
    if not np.isfinite(scaled).all():
        raise DataError(f"{path} holds samples that are NaN or infinite.")
    mono = scaled if scaled.ndim == 1 else scaled.mean(axis=1)
    made = np.zeros((1, samples), np.float32)
    made[0, : min(samples, len(mono))] = mono[:samples]
    return made


def _header(path: Path) -> tuple[int, int]:
    """The rate in Hz and the number of samples of a recording."""
    rate, raw = _opened(path, mapped=True)
    return rate, len(raw)


def _opened(path: Path, mapped: bool) -> tuple[int, Array]:
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks with titles and the like
            try:
                rate, raw = wavfile.read(path, mmap=mapped)
            except ValueError:
                if not mapped:
                    raise
                rate, raw = wavfile.read(path)  # 24 bits cannot be mapped
    except Exception as error:  # scipy raises of every kind where a header is damaged
        said = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DataError(f"{path} is not a readable WAV file: {said}.") from None
    if not len(raw):
        raise DataError(f"{path} holds no samples.")
    return int(rate), raw


def _other_rate(path: Path, found: int, rate: int) -> DataError:
    return DataError(f"{path} has {found} samples a second, and the first recording {rate}; resample them to one rate.")
