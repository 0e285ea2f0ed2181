"""Examples of the training data that are held out, and the score of a network on them."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from artifacts.errors import DataError
from artifacts.types import Split
from compress.losses.choice import TaskLoss
from compress.training.batches import Targets, all_outputs, device_of, tensors
from compress.training.losses import task_term


@dataclass(frozen=True)
class Score:
    """How a network does on the held-out examples."""

    metric: float
    """Top-1 accuracy (0..1) of a classifier, minus the loss of anything else; larger is better."""
    loss: float
    name: str

    def beats(self, other: "Score | None") -> bool:
        """Whether it is better; of two equal metrics the smaller loss decides."""
        return other is None or (self.metric, -self.loss) > (other.metric, -other.loss)


def hold_out(chosen: NDArray[np.int64], share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The examples to train on and those held out, a fixed draw of `share` of them; at least one of each.

    Raises:
        DataError: there are too few examples to hold any out.
    """
    if not share:
        return chosen, chosen[:0]
    if len(chosen) < 2:
        raise DataError(f"'holdout' {share:g} of {len(chosen)} training examples leaves none to train on; leave it out.")
    count = min(max(1, round(len(chosen) * share)), len(chosen) - 1)
    order = np.random.default_rng([seed, 1]).permutation(chosen)
    return np.sort(order[count:]), np.sort(order[:count])


def score_of(
    module: nn.Module, split: Split, indices: NDArray[np.int64], batch_size: int = 256, named: TaskLoss | None = None
) -> Score:
    """The score of a network in eval mode on these examples, by the loss of this name or the usual one."""
    total, correct, classes = 0.0, 0, True
    training = module.training
    module.eval()
    for start in range(0, len(indices), batch_size):
        part = indices[start : start + batch_size]
        outputs, targets = _asked(module, split, part)
        total += task_term(outputs, targets, loss=named).item() * len(part)
        first = next(iter(outputs.values()))
        if isinstance(targets, Tensor) and first.ndim == 2 and targets.ndim == 1 and not targets.is_floating_point():
            correct += int(torch.eq(first.argmax(1), targets).sum())
        else:
            classes = False
    module.train(training)
    loss = total / len(indices)
    return Score(correct / len(indices), loss, "top1") if classes else Score(-loss, loss, "negative loss")


@torch.no_grad()
def _asked(module: nn.Module, split: Split, indices: NDArray[np.int64]) -> tuple[dict[str, Tensor], Targets]:
    inputs, targets = tensors(split, indices)
    device = device_of(module)
    outputs = all_outputs(module, {name: x.to(device) for name, x in inputs.items()})
    return {name: value.cpu() for name, value in outputs.items()}, targets
