"""Examples of different lengths, padded to one as they are read, with a mask that says which positions count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from artifacts.errors import DataError, nearest
from artifacts.types import Array
from zoo.named_targets import MASK
from zoo.pairing import IGNORED
from zoo.splits import MapDataset, by_name, names_of


@dataclass(frozen=True)
class Pad:
    """How one input is brought to one length along its first axis."""

    length: int
    value: float = 0
    """What stands where there is nothing."""
    mask: str | None = None
    """The input that says which positions count, boolean (N, length); none: the network is not told."""
    cut: bool = False
    """Whether longer examples are cut; else they are refused."""


@dataclass(frozen=True)
class Padded:
    """A map-style data set whose examples have one length; see `Pad`.

    Class numbers for each position are padded with `IGNORED`; values with zeros, and a mask of their own beside them.
    """

    dataset: MapDataset
    pads: Mapping[str, Pad] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[dict[str, object], object]:
        """One example, padded.

        Raises:
            DataError: it has no such input, or is longer than it may be.
        """
        inputs, target = self.dataset[index]
        named = {name: np.asarray(value) for name, value in by_name(inputs, names_of(inputs)).items()}
        made: dict[str, object] = dict(named)
        lengths: dict[int, int] = {}
        for name, pad in self.pads.items():
            if name not in named or named[name].ndim == 0:
                raise DataError(f"'pad' names an input {name!r} that examples do not have; {nearest(name, named)}.")
            count = len(named[name])
            if count > pad.length and not pad.cut:
                raise DataError(
                    f"example {index} has {count} positions of {name!r}, and 'pad' says {pad.length}; raise its length, or cut."
                )
            lengths[count] = pad.length
            made[name] = _to_length(named[name], pad.length, pad.value)
            if pad.mask is not None:
                made[pad.mask] = np.arange(pad.length) < count
        return made, _padded_target(target, lengths)


def _to_length(value: Array, length: int, filler: float) -> Array:
    rest = max(0, length - len(value))
    return np.pad(value[:length], [(0, rest), *[(0, 0)] * (value.ndim - 1)], constant_values=value.dtype.type(filler))


def _padded_target(target: object, lengths: Mapping[int, int]) -> object:
    """A target that has as many positions as an input had, padded as that was; any other as it is."""
    if isinstance(target, Mapping):
        made: dict[str, object] = {}
        for name, value in target.items():
            array = np.asarray(value)
            made[name] = _positions(array, lengths)
            if array.ndim and array.dtype.kind == "f" and len(array) in lengths and f"{name}{MASK}" not in target:
                made[f"{name}{MASK}"] = np.arange(lengths[len(array)]) < len(array)
        return made
    array = np.asarray(target)
    if array.ndim and array.dtype.kind == "f" and len(array) in lengths:
        raise DataError(
            "'pad' pads values for each position, and something has to say which count: give the targets by the name of "
            "their output, as {output: values}."
        )
    return _positions(array, lengths)


def _positions(array: Array, lengths: Mapping[int, int]) -> Array:
    if not array.ndim or len(array) not in lengths:
        return array
    whole = array.dtype.kind in "iu"
    return _to_length(array.astype(np.int64) if whole else array, lengths[len(array)], IGNORED if whole else 0)


@dataclass(frozen=True)
class Rows:
    """Inputs and targets that are sequences of examples, as a map-style data set."""

    inputs: Mapping[str, Sequence[object]]
    targets: Sequence[object] | Mapping[str, Sequence[object]]

    def __len__(self) -> int:
        return min(len(value) for value in self.inputs.values())

    def __getitem__(self, index: int) -> tuple[dict[str, object], object]:
        """One example, its inputs by name."""
        target: object
        if isinstance(self.targets, Mapping):
            target = {name: value[index] for name, value in self.targets.items()}
        else:
            target = self.targets[index]
        return {name: value[index] for name, value in self.inputs.items()}, target


def of_one_length(part: object, pads: Mapping[str, Pad]) -> object:
    """A split of a factory, padded: (inputs, targets) or a map-style data set; anything else as it is."""
    if isinstance(part, tuple) and len(part) == 2:
        inputs, targets = part
        named = inputs if isinstance(inputs, Mapping) else {"input": inputs}
        return Padded(Rows(named, targets), pads)
    return Padded(part, pads) if isinstance(part, MapDataset) else part
