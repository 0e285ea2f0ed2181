"""Load the data that a recipe names, and fingerprint it without loading where its files can be named."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np

from artifacts.errors import DataError, nearest
from artifacts.files import sha256_json
from artifacts.types import Split
from zoo import registry
from zoo.factories import resolve
from zoo.metrics import Names, find
from zoo.named_targets import together
from zoo.padding import Pad, of_one_length
from zoo.readers import read_idx, read_imagefolder, read_npz
from zoo.readers.source import Source, digest_of, digest_of_files
from zoo.readers.streams import Loader, made_once, read_streams
from zoo.splits import ArraySplit, DatasetSplit, MapDataset, TaskData, inputs_of, names_of
from zoo.targets import settled
from zoo.unlabelled import reconstructed, unlabelled, with_targets


@dataclass(frozen=True)
class DataRef:
    """Where a recipe's data comes from: exactly one of these is set."""

    zoo: str | None = None
    factory: str | None = None
    imagefolder: Path | None = None
    idx: Path | None = None
    npz: Path | None = None
    metric: tuple[str, ...] | None = None
    """What its outputs are scored by, of which the first decides; by default what the data says itself."""
    targets: Literal["given", "none", "inputs"] = "given"
    """none: those of the data do not count, and outputs are held against the reference's; inputs: the input is the target."""
    batch_axis: Mapping[str, int] = field(default_factory=dict)
    """Input -> the axis of its examples in the network, where that is not the first."""
    pad: Mapping[str, Pad] = field(default_factory=dict)
    """Input -> how its examples are brought to one length; of a factory alone."""
    source: Source | None = None
    """A format with settings of its own: `npy`, `csv`, `wav`, `hf`."""


def load_data(ref: DataRef) -> TaskData:
    """The training and test split that `ref` names.

    Raises:
        DataError: the data is missing, malformed, or a factory returned something else; or its metric has no use for targets
            of their kind.
        RequestError: there is no such metric.
    """
    if ref.batch_axis:
        return led_by_examples(load_data(replace(ref, batch_axis={})), ref.batch_axis)
    if ref.targets == "none":
        return unlabelled(_load(replace(ref, metric=None)), ref.metric)
    data = _load(ref) if ref.targets == "given" else reconstructed(_load(replace(ref, metric=None)), ref.metric)
    targets = data.test.batch(np.arange(1))[1]
    if not targets.dtype.names:
        for metric in data.metrics:
            find(metric).check(targets)
    return data


def led_by_examples(data: TaskData, axes: Mapping[str, int]) -> TaskData:
    """The task of a network that takes some inputs with their examples along another axis than the first.

    Raises:
        DataError: there is no such input, or it has no such axis.
    """
    shapes = {spec.name: spec.shape for spec in data.inputs}
    for name, axis in axes.items():
        if name not in shapes:
            raise DataError(f"batch_axis names an input {name!r} that the data do not have; {nearest(name, shapes)}.")
        if not 0 < axis < len(shapes[name]):
            raise DataError(f"batch_axis of {name!r} is {axis}, and one example of it has {len(shapes[name]) - 1} axes.")
    return replace(data, batch_axis=dict(axes))


def _load(ref: DataRef) -> TaskData:
    if ref.zoo is not None:
        return _scored(registry.find(registry.DATA, "data set", ref.zoo).load()(), ref.metric)
    if ref.idx is not None:
        return _scored(read_idx(ref.idx, ref.idx.name), ref.metric)
    if ref.npz is not None:
        return read_npz(ref.npz, ref.metric)
    if ref.imagefolder is not None:
        return _scored(read_imagefolder(ref.imagefolder), ref.metric)
    if ref.source is not None:
        return ref.source.read(ref.metric)
    assert ref.factory is not None
    made = made_once(ref.factory, resolve(ref.factory))
    return from_factory(ref.factory, made, ref.metric, ref.targets == "given", ref.pad)


def _scored(data: TaskData, metric: Names) -> TaskData:
    return data if metric is None else settled(data, metric)


def from_factory(
    spec: str, made: object, metric: Names = None, labelled: bool = True, pads: Mapping[str, Pad] = MappingProxyType({})
) -> TaskData:
    """What a user's factory returned, as a task.

    Accepted: a `TaskData`; or a mapping with `train` and `test` (and optionally `labels`, `metric`), or a tuple
    `(train, test)`; each split is a tuple of arrays `(inputs, targets)`, a map-style data set, a DataLoader over one, or
    what can only be gone through (`zoo.readers.streams`). Targets are an array, or arrays by the names of the outputs that
    they belong to. The `metric` comes before the one that it names. Where they are not `labelled`, a split may be its inputs.
    """
    made = read_streams(spec, made)
    if isinstance(made, TaskData):
        return settled(made, metric or made.metrics)
    if isinstance(made, tuple) and len(made) == 2:
        made = {"train": made[0], "test": made[1]}
    if not (isinstance(made, Mapping) and "train" in made and "test" in made):
        raise DataError(f"data factory {spec!r} must return (train, test) or a mapping with both; got {type(made).__name__}.")
    parts = [made[part] if labelled else with_targets(made[part]) for part in ("train", "test")]
    train, test = (_split(spec, of_one_length(part, pads) if pads else part) for part in parts)
    first, _ = train.batch(np.arange(1))
    labels = tuple(map(str, made["labels"])) if made.get("labels") else None
    masks = {name: pad.mask for name, pad in pads.items() if pad.mask is not None}
    data = TaskData(spec, train, test, inputs_of(first), labels, made.get("preprocessing"), masks=masks)
    return settled(data, metric or made.get("metric"))


def _split(spec: str, part: object) -> Split:
    if isinstance(part, ArraySplit):
        return part
    if isinstance(part, tuple) and len(part) == 2:
        inputs, targets = part
        named = inputs if isinstance(inputs, Mapping) else {"input": inputs}
        wanted = together(targets) if isinstance(targets, Mapping) else np.asarray(targets)
        return ArraySplit({k: np.asarray(v) for k, v in named.items()}, wanted)
    # a Subset has a `dataset` too: the whole one, which is not meant
    dataset = part.dataset if isinstance(part, Loader) else part
    if not isinstance(dataset, MapDataset):
        raise DataError(
            f"data factory {spec!r} returned a {type(part).__name__}; needed: arrays, a map-style data set or a DataLoader."
        )
    if not len(dataset):
        raise DataError(f"data factory {spec!r} returned an empty data set.")
    return DatasetSplit(dataset, names_of(dataset[0][0]))


def fingerprint(ref: DataRef) -> str:
    """A digest of the data's bytes: of its files where they are known, else of the examples a factory gives."""
    if ref.source is not None:
        return digest_of(ref.source)
    if ref.factory is not None:
        data = load_data(ref)
        return sha256_json([data.train.fingerprint(), data.test.fingerprint(), data.metric, data.labels])
    files: list[Path] = []
    if ref.zoo is not None:
        files = registry.find(registry.DATA, "data set", ref.zoo).named_files()
    elif ref.idx is not None:
        files = sorted(ref.idx.glob("*-ubyte*"))
    elif ref.npz is not None:
        files = [ref.npz]
    elif ref.imagefolder is not None:
        files = sorted(p for p in ref.imagefolder.rglob("*") if p.is_file())
    if not files:
        raise DataError(f"no data at {ref}; check the recipe's `data`.")
    return sha256_json(digest_of_files(files, [folder for folder in (ref.imagefolder, ref.idx) if folder]))
