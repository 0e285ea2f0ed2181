"""Data without targets: outputs are held against the reference network's, computed as batches are read, or against inputs."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from artifacts.arrays import examples_first
from artifacts.errors import DataError
from artifacts.specs import TensorSpec
from artifacts.types import Array, Arrays, Split
from zoo.metrics import find
from zoo.named_targets import together
from zoo.splits import TaskData
from zoo.targets import settled

if TYPE_CHECKING:
    from torch import nn

USUAL = "relative-error"
"""What decides where the data names no metric."""
BATCH = 256
"""Examples that the reference is asked for at once."""


def unlabelled(data: TaskData, metrics: Sequence[str] | None) -> TaskData:
    """The task without its targets; its metrics compare with the reference's outputs.

    Raises:
        RequestError: there is no such metric.
    """
    decides, *further = metrics or (USUAL,)
    for name in (decides, *further):
        find(name)
    return replace(data, metric=decides, further=tuple(further), labelled=False)


def reconstructed(data: TaskData, metrics: Sequence[str] | None) -> TaskData:
    """The task of giving its input back.

    Raises:
        DataError: the network has several inputs, or one of whole numbers.
    """
    if len(data.inputs) != 1 or not data.inputs[0].dtype.startswith("float"):
        told = ", ".join(f"{spec.name} ({spec.dtype})" for spec in data.inputs)
        raise DataError(f"targets: inputs needs data with one input of real numbers, and these have {told}.")
    train, test = (Reconstructed(part, data.inputs[0].name) for part in (data.train, data.test))
    return settled(replace(data, train=train, test=test, labels=None), metrics)


def with_targets(part: object) -> object:
    """A split that is inputs alone, with zeros in the place of its targets; any other as it is."""
    named = part if isinstance(part, Mapping) else {"input": part} if isinstance(part, np.ndarray) else None
    if named is None:
        return part
    return dict(named), np.zeros(len(next(iter(named.values()))), np.int64)


@dataclass(frozen=True)
class Reconstructed:
    """A split whose targets are its inputs."""

    split: Split
    name: str

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, indices: NDArray[np.int64]) -> tuple[Arrays, Array]:
        """See `artifacts.types.Split`."""
        inputs, _ = self.split.batch(indices)
        return inputs, inputs[self.name].copy()

    def fingerprint(self) -> str:
        """See `artifacts.types.Split`."""
        return hashlib.sha256(f"reconstructed {self.split.fingerprint()}".encode()).hexdigest()


@dataclass(frozen=True)
class Answered:
    """A split whose targets are what a network gives for its inputs: the output, or all of them by name."""

    split: Split
    module: "nn.Module"
    specs: tuple[TensorSpec, ...]

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, indices: NDArray[np.int64]) -> tuple[Arrays, Array]:
        """See `artifacts.types.Split`."""
        import torch

        from zoo.calling import call
        from zoo.outputs import named_outputs

        inputs, _ = self.split.batch(indices)
        parts: list[Arrays] = []
        with torch.no_grad():
            for start in range(0, len(indices), BATCH):
                some = {name: value[start : start + BATCH] for name, value in inputs.items()}
                given = {name: value.float().numpy() for name, value in named_outputs(call(self.module, some)).items()}
                parts.append(examples_first(given, self.specs))
        named = {
            spec.name: np.concatenate([part[spec.name] for part in parts]) for spec in self.specs if spec.batch_axis is not None
        }
        return inputs, next(iter(named.values())) if len(named) == 1 else together(named)

    def fingerprint(self) -> str:
        """See `artifacts.types.Split`."""
        return hashlib.sha256(f"answered {self.split.fingerprint()}".encode()).hexdigest()


def answered(data: TaskData, module: "nn.Module", outputs: tuple[TensorSpec, ...]) -> TaskData:
    """The task with the outputs of a network as its targets; one that has targets as it is."""
    if data.labelled:
        return data
    train, test = (Answered(part, module.eval(), outputs) for part in (data.train, data.test))
    return replace(data, train=train, test=test)
