"""Data sets read batch by batch: arrays in memory, or any map-style data set of a user."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError
from artifacts.pictures import prepare
from artifacts.specs import TensorSpec
from artifacts.types import Array, Arrays, Split
from zoo.metrics import OF_CLASSES
from zoo.named_targets import together


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


@dataclass(frozen=True)
class ArraySplit:
    """Examples held in memory, raw; preprocessing happens as a batch is read."""

    inputs: Mapping[str, Array]
    targets: Array
    preprocessing: Preprocessing | None = None

    def __post_init__(self) -> None:
        lengths = {name: len(v) if v.ndim else 0 for name, v in {**self.inputs, "targets": self.targets}.items()}
        if len(set(lengths.values())) != 1 or not len(self.targets):
            shapes = ", ".join(f"{name} {value.shape}" for name, value in {**self.inputs, "targets": self.targets}.items())
            raise DataError(
                f"inputs and targets must have the same number of examples, and some, along their first axis: got {shapes}."
            )

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, indices: NDArray[np.int64]) -> tuple[Arrays, Array]:
        """See `artifacts.types.Split`."""
        apply = self.preprocessing.apply if self.preprocessing else lambda raw: raw
        return {name: np.ascontiguousarray(apply(v[indices])) for name, v in self.inputs.items()}, self.targets[indices]

    def fingerprint(self) -> str:
        """See `artifacts.types.Split`."""
        digest = hashlib.sha256(repr(asdict(self.preprocessing) if self.preprocessing else None).encode())
        for name, array in [*sorted(self.inputs.items()), ("targets", self.targets)]:
            digest.update(f"{name}{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


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
    labelled: bool = True
    """Whether there are targets; without, those of the splits say nothing, and outputs are held against the reference's."""

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
