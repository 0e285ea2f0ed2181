"""From a split to tensors, and from a network to its first output."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from artifacts.arrays import examples_first, joined
from artifacts.errors import DataError
from artifacts.specs import TensorSpec
from artifacts.types import Array, Arrays, Split
from zoo.calling import call
from zoo.named_targets import fields
from zoo.outputs import named_outputs

Inputs = dict[str, Tensor]
LOW_PRECISION = (torch.bfloat16, torch.float16)


class Mixed(NamedTuple):
    """The targets of a batch whose examples are mixtures of two: `share` of the first, the rest of the second."""

    first: Tensor
    second: Tensor
    share: Tensor
    """A scalar, 0..1."""


Targets = Tensor | dict[str, Tensor] | Mixed
"""Class numbers (N, ...) or real values (N, ...), of one output or by name; or class numbers of two mixed batches."""


def subset(split: Split, count: int | None, seed: int) -> NDArray[np.int64]:
    """`count` example indices, a fixed draw; all of them, in order, by default."""
    if count is None or count >= len(split):
        return np.arange(len(split))
    return np.sort(np.random.default_rng(seed).permutation(len(split))[:count])


def tensors(split: Split, indices: NDArray[np.int64]) -> tuple[Inputs, Tensor | dict[str, Tensor]]:
    """One batch of a split as tensors."""
    inputs, targets = split.batch(indices)
    return {name: torch.from_numpy(array) for name, array in inputs.items()}, as_tensors(targets)


def as_tensors(targets: Array) -> Tensor | dict[str, Tensor]:
    """Targets as a tensor, (N, ...); those by name as tensors by name."""
    named = {name: torch.from_numpy(array) for name, array in fields(targets).items()}
    return named or torch.from_numpy(np.asarray(targets))


def first_output(module: nn.Module, inputs: Inputs) -> Tensor:
    """The first output of a network; in float32 if mixed precision made it narrower, so that losses are exact."""
    return next(iter(all_outputs(module, inputs).values()))


def all_outputs(module: nn.Module, inputs: Inputs) -> dict[str, Tensor]:
    """Every output of a network by name; in float32 if mixed precision made them narrower."""
    return {name: widened(value) for name, value in named_outputs(call(module, inputs)).items()}


def widened(outputs: Tensor) -> Tensor:
    """The tensor in float32 if it is narrower."""
    return outputs.float() if outputs.dtype in LOW_PRECISION else outputs


def device_of(module: nn.Module) -> torch.device:
    """Where a network's tensors are; the CPU if it has none."""
    for tensor in (*module.parameters(), *module.buffers()):
        return tensor.device
    return torch.device("cpu")


def predict(module: nn.Module, split: Split, batch_size: int = 256, indices: NDArray[np.int64] | None = None) -> Array:
    """The first output of a network in eval mode over a split (or the examples at `indices`), (N, ...); see `predict_all`."""
    return next(iter(predict_all(module, split, batch_size, indices).values()))


@torch.no_grad()
def predict_all(
    module: nn.Module,
    split: Split,
    batch_size: int = 256,
    indices: NDArray[np.int64] | None = None,
    specs: Sequence[TensorSpec] = (),
) -> Arrays:
    """Every output of a network in eval mode over a split (or the examples at `indices`), each (N, ...), by name.

    The network's mode is restored. `specs` say along which axes of its outputs the examples lie; none: along the first.

    Raises:
        DataError: there are no examples.
    """
    chosen = np.arange(len(split)) if indices is None else indices
    if not len(chosen):
        raise DataError("the split is empty.")
    training, device = module.training, device_of(module)
    module.eval()
    parts: list[Arrays] = []
    for start in range(0, len(chosen), batch_size):
        inputs, _ = tensors(split, chosen[start : start + batch_size])
        made = named_outputs(call(module, {name: x.to(device) for name, x in inputs.items()}))
        parts.append({name: widened(output).cpu().numpy() for name, output in made.items()})
    module.train(training)
    return examples_first(joined(parts, specs), specs)
