"""Data sets that can only be gone through: read once, and kept so that they can be indexed."""

import functools
import inspect
import itertools
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from artifacts.errors import DataError
from artifacts.types import Array
from zoo.named_targets import together
from zoo.readers.spool import Spool
from zoo.splits import CHUNK, ArraySplit, MapDataset, by_name, names_of

LONGEST = 10_000_000
"""Examples after which a data set that does not say its `length` is taken to be endless."""

AT_ONCE = 256
"""Examples that are put together at most before they are kept."""

_READ: "weakref.WeakKeyDictionary[Callable[..., object], object]" = weakref.WeakKeyDictionary()
"""By factory what it returned, with its streams read: that is done once a process."""


@runtime_checkable
class Loader(Protocol):
    """What a DataLoader has."""

    dataset: object
    collate_fn: object


def made_once(spec: str, factory: Callable[..., object]) -> object:
    """What a factory returns, its streams read. One that returns streams is called once, others every time."""
    kept = _weak(factory)
    if kept and factory in _READ:
        return _READ[factory]
    made = factory()
    read = read_streams(spec, made)
    if kept and read is not made:
        _READ[factory] = read
    return read


def _weak(factory: Callable[..., object]) -> bool:
    """Whether it can be referred to without being kept alive."""
    try:
        hash(factory)
        weakref.ref(factory)
    except TypeError:
        return False
    return True


def read_streams(spec: str, made: object) -> object:
    """What a factory returned, with its streams read into splits; the same object if there are none.

    Raises:
        DataError: a stream is empty, endless, shorter than its `length`, or its examples differ in kind.
    """
    if isinstance(made, tuple) and len(made) == 2 and any(map(is_stream, made)):
        made = {"train": made[0], "test": made[1]}
    if not isinstance(made, Mapping):
        return made
    streams = {part: of for part, of in made.items() if part in ("train", "test") and is_stream(of)}
    read = {part: _read(f"the {part} split of data factory {spec!r}", of) for part, of in streams.items()}
    return {**made, **read} if read else made


def is_stream(part: object) -> bool:
    """Whether a split can only be gone through: an iterable data set, a DataLoader over one, or what generates examples."""
    if isinstance(part, Loader):
        return is_stream(part.dataset)
    if _generates(part):
        return True
    data = sys.modules.get("torch.utils.data")  # who has an IterableDataset has loaded it
    if data is not None and isinstance(part, data.IterableDataset):
        return True
    return isinstance(part, Iterable) and not isinstance(part, MapDataset | tuple | ArraySplit)


def _generates(part: object) -> bool:
    called = part.func if isinstance(part, functools.partial) else part
    return inspect.isgeneratorfunction(called)


def _read(whose: str, part: object) -> ArraySplit:
    length = getattr(part, "length", None)
    if length is not None and (isinstance(length, bool) or not isinstance(length, int) or length < 1):
        raise DataError(f"`length` of {whose} is {length!r}; it is the number of its examples.")
    spool = Spool(whose)
    for batch in _batches(whose, part, length):
        spool.add(batch)
        if length is None and spool.count > LONGEST:
            raise DataError(f"{whose} has given {spool.count:,} examples and goes on; give it a `length`, or let it end.")
    if not spool.count:
        raise DataError(f"{whose} is empty.")
    if length is not None and spool.count < length:
        raise DataError(f"{whose} says its length is {length:,}, and ends after {spool.count:,} examples.")
    arrays = spool.arrays()
    targets = arrays.pop(TARGETS)
    return ArraySplit(arrays, targets)


TARGETS = "the target"
"""The column of a spool that holds them; no input has such a name, because no parameter can."""


def _batches(whose: str, part: object, length: int | None) -> Iterator[dict[str, Array]]:
    """The examples of a stream, at most `length` of them, some at a time."""
    if isinstance(part, Loader) and not _plain(part.collate_fn):
        assert isinstance(part, Iterable)
        left = length
        for item in part:
            batch = _columns(whose, item, many=True)
            yield {name: values[:left] for name, values in batch.items()}
            left = None if left is None else left - len(batch[TARGETS])
            if left is not None and left <= 0:
                return
        return
    source = part.dataset if isinstance(part, Loader) else part
    examples = source() if callable(source) and _generates(source) else source
    assert isinstance(examples, Iterable)
    waiting: list[dict[str, Array]] = []
    for item in itertools.islice(examples, length):
        waiting.append(_columns(whose, item))
        if len(waiting) == AT_ONCE or len(waiting) * sum(value.nbytes for value in waiting[0].values()) > CHUNK:
            yield _stacked(whose, waiting)
            waiting = []
    if waiting:
        yield _stacked(whose, waiting)


def _plain(collate: object) -> bool:
    """Whether a loader puts its examples together in the usual way, so that its data set can be read without it."""
    return getattr(collate, "__module__", "").startswith("torch.utils.data")


def _columns(whose: str, item: object, many: bool = False) -> dict[str, Array]:
    """The arrays of one example, or of `many`; targets by name are one structured array."""
    if not (isinstance(item, tuple | list) and len(item) == 2):
        raise DataError(f"an example of {whose} is a {type(item).__name__}, not (inputs, target).")
    inputs, target = item
    named = {name: np.asarray(value) for name, value in by_name(inputs, names_of(inputs)).items()}
    return {**named, TARGETS: _target(target, many)}


def _target(target: object, many: bool) -> Array:
    if not isinstance(target, Mapping):
        return np.asarray(target)
    arrays = {name: np.asarray(value) for name, value in target.items()}
    return together(arrays) if many else together({name: value[None] for name, value in arrays.items()})[0:1].reshape(())


def _stacked(whose: str, rows: list[dict[str, Array]]) -> dict[str, Array]:
    first = rows[0]
    for row in rows:
        if {n: v.shape for n, v in row.items()} != {n: v.shape for n, v in first.items()}:
            told = " and ".join(", ".join(f"{n} {v.shape}" for n, v in sorted(one.items())) for one in (first, row))
            raise DataError(f"the examples of {whose} differ in shape: {told}; pad them to one.")
    return {name: np.stack([row[name] for row in rows]) for name in first}
