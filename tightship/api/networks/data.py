"""Data as people have them, in the form that training and calibration read."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from artifacts.errors import DataError
from artifacts.specs import Signature
from artifacts.types import Array, Arrays, Split
from tightship.api.networks.models import array_of, named, one_count, parameters_of
from zoo.named_targets import together
from zoo.readers.spool import Spool
from zoo.readers.streams import TARGETS
from zoo.splits import ArraySplit, DatasetSplit, TaskData

Data = object
"""(inputs, targets), a DataLoader or another iterable of such batches, a map-style data set, a Split, or TaskData. Targets may
be arrays by the names of outputs."""


def split_of(data: Data, module: nn.Module, signature: Signature | None = None, *, labeled: bool = True) -> Split:
    """Data in the form that training and calibration read.

    Args:
        data: (inputs, targets); a DataLoader or another iterable of such batches; a map-style data set; a Split or TaskData.
            Without labels also inputs alone. Inputs are a tensor or an array, a tuple of them, or a dict by name.
        module: whose forward names the inputs.
        signature: what the examples must fit.
        labeled: whether targets are needed.

    Raises:
        DataError: it is none of these, is empty, or does not fit the network.
    """
    split = _split(data, module, labeled)
    if not len(split):
        raise DataError("the data hold no examples.")
    if signature is not None:
        _check(split.batch(np.arange(1))[0], signature)
        if labeled:
            check_classes(split, signature)
    return split


def check_classes(split: Split, signature: Signature) -> None:
    """Hold class numbers, where they are in memory, against the network's outputs (N, classes).

    Raises:
        DataError: there is a class that the network has no output for.
    """
    outputs = signature.outputs[0].shape if signature.outputs else ()
    if (
        not isinstance(split, ArraySplit)
        or split.targets.dtype.kind not in "iu"
        or split.targets.ndim != 1
        or len(outputs) != 2
    ):
        return
    low, high, count = int(split.targets.min()), int(split.targets.max()), outputs[1]
    if isinstance(count, int) and not 0 <= low <= high < count:
        wrong = high if high >= count else low
        raise DataError(f"the targets hold class {wrong}, and the network tells {count} classes apart, 0 to {count - 1}.")


def _split(data: Data, module: nn.Module, labeled: bool) -> Split:
    if isinstance(data, TaskData):
        return data.train
    if hasattr(data, "batch") and hasattr(data, "fingerprint"):
        return cast(Split, data)
    if isinstance(data, tuple) and len(data) == 2 and (labeled or not _are_inputs(data, module)):
        return _arrays(data[0], data[1], module)
    if isinstance(data, torch.Tensor | np.ndarray | Mapping | tuple):
        if labeled:
            raise DataError("the data are inputs alone, and training needs targets: give (inputs, targets).")
        return _arrays(data, None, module)
    dataset = _map_style(data)
    if dataset is not None:
        if not len(dataset):
            raise DataError("the data hold no examples.")
        first = dataset[0]
        if not (isinstance(first, tuple | list) and len(first) == 2):
            raise DataError(f"an example of the data set is a {type(first).__name__}, not (inputs, target).")
        one = named(module, _unsqueezed(first[0]))
        return DatasetSplit(dataset, tuple(one))
    if isinstance(data, Iterable):
        return _gathered(data, module, labeled)
    raise DataError(
        f"data must be (inputs, targets), a DataLoader, a data set, a Split or TaskData; got a {type(data).__name__}."
    )


def _are_inputs(data: "tuple[object, object]", module: nn.Module) -> bool:
    """Whether a pair, where no targets are needed, is both inputs of a network that takes two."""
    return parameters_of(module)[1] == 2 and all(isinstance(part, torch.Tensor | np.ndarray) for part in data)


def _map_style(data: Any) -> Any:
    """A data set with `len` and items, also that of a DataLoader that puts its items together in the usual way."""
    from torch.utils.data import DataLoader, IterableDataset, default_collate

    if isinstance(data, DataLoader):
        usual = data.collate_fn is default_collate and not isinstance(data.dataset, IterableDataset)
        return data.dataset if usual else None
    return data if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, Mapping) else None


def _unsqueezed(inputs: Any) -> Any:
    """One example as a batch of one."""
    if isinstance(inputs, Mapping):
        return {name: np.asarray(value)[None] for name, value in inputs.items()}
    if isinstance(inputs, tuple | list):
        return tuple(np.asarray(value)[None] for value in inputs)
    return np.asarray(inputs)[None]


def _arrays(inputs: Any, targets: Any, module: nn.Module) -> ArraySplit:
    arrays = named(module, inputs)
    one_count(arrays)
    count = len(next(iter(arrays.values())))
    return ArraySplit(arrays, np.zeros(count, np.int64) if targets is None else _targets(targets))


def _targets(targets: Any) -> Array:
    if isinstance(targets, Mapping):
        return together({name: _targets(value) for name, value in targets.items()})
    array = array_of("targets", np.asarray(targets) if isinstance(targets, list | tuple) else targets)
    # losses are in single precision, as networks are
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _gathered(batches: Iterable[Any], module: nn.Module, labeled: bool) -> ArraySplit:
    """All batches of an iterable, read once: kept in memory, or in a file where they are many."""
    spool = Spool("the data")
    for batch in batches:
        pair = isinstance(batch, tuple | list) and len(batch) == 2
        if labeled and not pair:
            raise DataError(f"a batch of the data is a {type(batch).__name__}, not (inputs, targets).")
        arrays = named(module, batch[0] if pair else batch)
        count = len(next(iter(arrays.values())))
        spool.add({**arrays, TARGETS: _targets(batch[1]) if pair else np.zeros(count, np.int64)})
    if not spool.count:
        raise DataError("the data hold no examples.")
    inputs = spool.arrays()
    targets = inputs.pop(TARGETS)
    return ArraySplit(inputs, targets)


def _check(example: Arrays, signature: Signature) -> None:
    """Hold one example of the data against what the network takes.

    Raises:
        DataError: a name, a type or a shape differs.
    """
    names = [spec.name for spec in signature.inputs]
    if list(example) != names:
        raise DataError(
            f"the data have the inputs {', '.join(example)}, and the network takes {', '.join(names)}; name them so."
        )
    for spec in signature.inputs:
        array = example[spec.name]
        if str(array.dtype) != spec.dtype:
            raise DataError(f"the data have {spec.name!r} as {array.dtype}, and the network takes {spec.dtype}; convert it.")
        same = len(spec.shape) == array.ndim and all(
            isinstance(want, str) or want == has for want, has in zip(spec.shape[1:], array.shape[1:], strict=True)
        )
        if not same:
            takes = "x".join(map(str, spec.shape[1:])) or "scalars"
            has = "x".join(map(str, array.shape[1:])) or "scalars"
            raise DataError(f"an example of the data has {spec.name!r} of shape {has}, and the network takes {takes}.")
