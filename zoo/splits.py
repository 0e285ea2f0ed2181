"""Data sets read batch by batch: arrays in memory, in files or decoded from files, or any map-style data set of a user."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError
from artifacts.json import JsonValue
from artifacts.pictures import prepare
from artifacts.specs import TensorSpec
from artifacts.types import Array, Arrays, Split
from zoo.metrics import OF_CLASSES
from zoo.named_targets import together

IN_MEMORY = 2**28
"""Bytes of examples up to which a reader holds them in memory; more of them stay in their files until a batch asks."""

CHUNK = 2**25
"""Bytes of examples that are in memory at once where a whole split is gone through."""


@dataclass(frozen=True)
class Preprocessing:
    """How raw pixels become model input: `(x * scale - mean) / std`, per channel."""

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layout: str = "NCHW"

    def apply(self, raw: Array) -> NDArray[np.float32]:
        """Raw images (N, C, H, W) of any dtype to float32 model input of the same shape."""
        return prepare(raw, self.scale, self.mean, self.std)


@runtime_checkable
class Column(Protocol):
    """An input whose examples lie in files: it is indexed along its first axis as an array is, and reads what is asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, ...)."""
        ...

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The type of what is read."""
        ...

    def __getitem__(self, rows: slice | NDArray[np.int64], /) -> Array:
        """The examples of these rows, in their order."""
        ...

    def digest(self) -> str:
        """The SHA-256 of what the examples are read from."""
        ...


def bytes_of(examples: Array | Column) -> int:
    """What the examples take in memory."""
    return math.prod(examples.shape) * examples.dtype.itemsize


def held(column: Column) -> Array | Column:
    """The examples of a column in memory where they fit, else the column."""
    return column[:] if bytes_of(column) <= IN_MEMORY else column


def parts_of(examples: Array | Column) -> Iterator[Array]:
    """All examples in their order, at most `CHUNK` bytes of them at a time, or one."""
    count = examples.shape[0]
    step = max(1, CHUNK * count // max(1, bytes_of(examples)))
    for start in range(0, count, step):
        yield np.ascontiguousarray(examples[start : start + step])


@dataclass(frozen=True)
class ArraySplit:
    """Examples by input, raw: in memory, mapped from a file, or in a `Column`. Preprocessing happens as a batch is read."""

    inputs: Mapping[str, Array | Column]
    targets: Array
    preprocessing: Preprocessing | None = None

    def __post_init__(self) -> None:
        sizes = {name: v.shape for name, v in {**self.inputs, "targets": self.targets}.items()}
        lengths = {name: shape[0] if shape else 0 for name, shape in sizes.items()}
        if len(set(lengths.values())) != 1 or not lengths["targets"]:
            shapes = ", ".join(f"{name} {shape}" for name, shape in sizes.items())
            raise DataError(
                f"inputs and targets must have the same number of examples, and some, along their first axis: got {shapes}."
            )

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, indices: NDArray[np.int64]) -> tuple[Arrays, Array]:
        """See `artifacts.types.Split`."""
        apply = self.preprocessing.apply if self.preprocessing else lambda raw: raw
        return {name: _ready(apply(v[indices])) for name, v in self.inputs.items()}, _native(self.targets[indices])

    def fingerprint(self) -> str:
        """See `artifacts.types.Split`."""
        digest = hashlib.sha256(repr(asdict(self.preprocessing) if self.preprocessing else None).encode())
        for name, array in [*sorted(self.inputs.items()), ("targets", self.targets)]:
            digest.update(f"{name}{array.dtype}{array.shape}".encode())
            if isinstance(array, np.ndarray):
                for part in parts_of(array):
                    digest.update(part.data)
            else:
                digest.update(array.digest().encode())
        return digest.hexdigest()


def _ready(examples: Array) -> Array:
    return np.ascontiguousarray(_native(examples))


def _native(examples: Array) -> Array:
    """In this machine's order of bytes, which PyTorch and the runtimes need and files need not have."""
    return examples.astype(examples.dtype.newbyteorder("="), copy=False)


def rows_at_once(split: Split, limit: int = CHUNK, most: int = 512) -> int:
    """How many examples of a split have about `limit` bytes as model inputs: 1 to `most`."""
    one = sum(array.nbytes for array in split.batch(np.arange(1))[0].values())
    return int(np.clip(limit // max(1, one), 1, most))


@runtime_checkable
class MapDataset(Protocol):
    """What PyTorch calls a map-style data set."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[object, object]:
        """One example: its inputs and its target."""
        ...


@dataclass(frozen=True)
class DatasetSplit:
    """A user's map-style data set: `len(dataset)` and `dataset[i] -> (inputs, target)`.

    Inputs are one array or tensor, a tuple of them in the order of the signature, or a dict by name.
    """

    dataset: MapDataset
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, indices: NDArray[np.int64]) -> tuple[Arrays, Array]:
        """See `artifacts.types.Split`."""
        items = [self.dataset[int(i)] for i in indices]
        rows = [by_name(item[0], self.names) for item in items]
        inputs = {name: np.stack([np.asarray(row[name]) for row in rows]) for name in self.names}
        return inputs, _stacked([item[1] for item in items])

    def fingerprint(self) -> str:
        """See `artifacts.types.Split`; reads every example once."""
        digest = hashlib.sha256()
        for start in range(0, len(self), 256):
            inputs, targets = self.batch(np.arange(start, min(start + 256, len(self))))
            for name, array in [*sorted(inputs.items()), ("targets", targets)]:
                digest.update(f"{name}{array.dtype}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


@dataclass(frozen=True)
class TaskData:
    """The data of one task, with all that a deployed model needs to be told about its input."""

    name: str
    train: Split
    test: Split
    inputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...] | None = None
    preprocessing: Preprocessing | None = None
    metric: str = OF_CLASSES
    """What decides, by its name as `zoo.metrics.find` takes it."""
    further: tuple[str, ...] = ()
    """Metrics that are reported beside it."""
    batch_axis: Mapping[str, int] = field(default_factory=dict)
    """Input -> the axis of its examples in the network, where that is not the first; splits give them first."""
    masks: Mapping[str, str] = field(default_factory=dict)
    """Input -> the input that says which of its positions count, (N, T)."""
    labelled: bool = True
    """Whether there are targets; without, those of the splits say nothing, and outputs are held against the reference's."""
    encoding: Mapping[str, JsonValue] | None = None
    """How rows of a table become inputs, for who feeds the deployed file: by input, figures or words."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """All metrics, the deciding one first."""
        return self.metric, *self.further

    def example_inputs(self, count: int) -> Arrays:
        """The first `count` training inputs."""
        return self.train.batch(np.arange(min(count, len(self.train))))[0]


def _stacked(targets: list[object]) -> Array:
    """The targets of examples as those of a batch, (N, ...); mappings as targets by name."""
    if not isinstance(targets[0], Mapping):
        return np.stack([np.asarray(target) for target in targets])
    rows = [target for target in targets if isinstance(target, Mapping)]
    return together({name: np.stack([np.asarray(row[name]) for row in rows]) for name in targets[0]})


def names_of(inputs: object) -> tuple[str, ...]:
    """What the inputs of an example are called: a dict says it, several without names are numbered."""
    if isinstance(inputs, Mapping):
        return tuple(inputs)
    count = len(inputs) if isinstance(inputs, tuple | list) else 1
    return ("input",) if count == 1 else tuple(f"input_{i}" for i in range(count))


def by_name(inputs: object, names: tuple[str, ...]) -> dict[str, object]:
    """One example's inputs by name, from a dict, a tuple in signature order, or a single array."""
    if isinstance(inputs, Mapping):
        missing = [n for n in names if n not in inputs]
        if missing:
            raise DataError(f"an example has no input {missing[0]!r}; it has {sorted(inputs)}.")
        return dict(inputs)
    values = inputs if isinstance(inputs, tuple | list) else (inputs,)
    if len(values) != len(names):
        raise DataError(f"an example has {len(values)} inputs, the model takes {len(names)}: {', '.join(names)}.")
    return dict(zip(names, values, strict=True))


def inputs_of(arrays: Mapping[str, Array]) -> tuple[TensorSpec, ...]:
    """The input specs of a batch of arrays: the first axis is the dynamic dimension `batch`."""
    return tuple(TensorSpec(n, str(a.dtype), ("batch", *map(int, a.shape[1:]))) for n, a in arrays.items())
