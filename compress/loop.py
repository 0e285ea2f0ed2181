"""The training loop that every method shares: seeded by step, so that a killed run ends with the same weights."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from artifacts.errors import DataError, StageCrashed
from artifacts.files import write_atomic
from artifacts.types import Split
from compress.augment import augment
from compress.configs import TrainConfig

Inputs = dict[str, Tensor]
Loss = Callable[[nn.Module, Inputs, Tensor], Tensor]
"""(module, inputs by name, targets) -> a scalar to minimise."""
Progress = Callable[[float, str], None]
"""(share done 0..1, what is happening)."""


def silent(share: float, message: str) -> None:
    """A progress callback that shows nothing."""


@dataclass(frozen=True)
class Training:
    """All that one training run depends on, besides the network."""

    split: Split
    config: TrainConfig
    seed: int
    checkpoint: Path | None = None
    """Where to keep the state of a run in flight; continued from if it exists."""
    progress: Progress = silent
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    """Weights that stay zero: parameter name -> boolean mask."""
    every_seconds: float = 2.0
    """How much work a `kill -9` may cost."""
    on_epoch: Callable[[nn.Module, float], None] | None = None
    """Called before each epoch with the share of the training that is done."""


def subset(split: Split, count: int | None, seed: int) -> NDArray[np.int64]:
    """`count` example indices, a fixed draw; all of them, in order, by default."""
    if count is None or count >= len(split):
        return np.arange(len(split))
    return np.sort(np.random.default_rng(seed).permutation(len(split))[:count])


def tensors(split: Split, indices: NDArray[np.int64]) -> tuple[Inputs, Tensor]:
    """One batch of a split as tensors."""
    inputs, targets = split.batch(indices)
    return {name: torch.from_numpy(array) for name, array in inputs.items()}, torch.from_numpy(np.asarray(targets))


def first_output(module: nn.Module, inputs: Inputs) -> Tensor:
    """The first output of a network."""
    outputs = module(*inputs.values())
    if isinstance(outputs, Tensor):
        return outputs
    values = outputs.values() if isinstance(outputs, Mapping) else outputs
    return next(iter(values))  # type: ignore[no-any-return]


def task_loss(label_smoothing: float = 0.0) -> Loss:
    """Cross-entropy for whole-number targets, mean squared error for real ones."""

    def loss(module: nn.Module, inputs: Inputs, targets: Tensor) -> Tensor:
        return task_term(first_output(module, inputs), targets, label_smoothing)

    return loss


def task_term(outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """The task's own loss for one batch of outputs."""
    if targets.is_floating_point():
        return nn.functional.mse_loss(outputs.view_as(targets), targets)
    return nn.functional.cross_entropy(outputs, targets.long(), label_smoothing=label_smoothing)


def rate(config: TrainConfig, share: float) -> float:
    """The learning rate after `share` (0..1) of the steps."""
    if config.schedule == "constant":
        return config.learning_rate
    if config.schedule == "cosine":
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
    warm = 0.25
    if share < warm:
        return config.learning_rate * (0.04 + 0.96 * share / warm)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * (share - warm) / (1 - warm)))


def make_optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer that the config names; biases and normalisation are not decayed."""
    decayed = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in module.parameters() if p.requires_grad and p.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": decayed, "weight_decay": config.weight_decay}]
    groups.append({"params": plain, "weight_decay": 0.0})
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate)
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=config.momentum > 0)


@torch.no_grad()
def apply_masks(module: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Set every masked weight to zero."""
    for name, mask in masks.items():
        module.get_parameter(name).mul_(mask)


def fit(module: nn.Module, loss: Loss, training: Training) -> None:
    """Train `module` in place; leaves it in eval mode.

    Every step draws from a generator seeded by (seed, step), so the result does not depend on where it was interrupted.

    Raises:
        StageCrashed: the loss became NaN or infinite.
    """
    config, split = training.config, training.split
    chosen = subset(split, config.examples, training.seed)
    # a last batch of one example has no batch statistics
    size = min(config.batch_size, len(chosen))
    per_epoch = max(1, len(chosen) // size)
    total = config.epochs * per_epoch
    optimizer = make_optimizer(module, config)
    start = _restore(training.checkpoint, module, optimizer)
    module.train()
    saved = time.monotonic()
    order: NDArray[np.int64] = chosen
    for step in range(start, total):
        epoch, index = divmod(step, per_epoch)
        if index == 0 and training.on_epoch:
            training.on_epoch(module, epoch / config.epochs)
        if index == 0 or step == start:
            order = np.random.default_rng([training.seed, epoch]).permutation(chosen)
        value = _step(module, loss, optimizer, training, order[index * size : (index + 1) * size], step, total)
        training.progress((step + 1) / total, f"epoch {epoch + 1}/{config.epochs} loss {value:.3f}")
        if training.checkpoint and time.monotonic() - saved > training.every_seconds:
            _save(training.checkpoint, module, optimizer, step + 1)
            saved = time.monotonic()
    module.eval()


def _step(
    module: nn.Module,
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    training: Training,
    indices: NDArray[np.int64],
    step: int,
    total: int,
) -> float:
    torch.manual_seed(training.seed * 1_000_003 + step)
    for group in optimizer.param_groups:
        group["lr"] = rate(training.config, step / total)
    inputs, targets = tensors(training.split, indices)
    inputs = augment(inputs, training.config.augment)
    optimizer.zero_grad(set_to_none=True)
    value = loss(module, inputs, targets)
    if not torch.isfinite(value):
        raise StageCrashed(
            f"the loss became {value.item()} at step {step}; lower learning_rate {training.config.learning_rate}."
        )
    value.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    apply_masks(module, training.masks)
    return value.item()


def _save(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    import io

    buffer = io.BytesIO()
    torch.save({"module": module.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, buffer)
    write_atomic(path, buffer.getvalue())


def _restore(path: Path | None, module: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    if path is None or not path.is_file():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


@torch.no_grad()
def predict(module: nn.Module, split: Split, batch_size: int = 256) -> NDArray[Any]:
    """The first output of a network in eval mode over a whole split, (N, ...); the network's mode is restored."""
    if not len(split):
        raise DataError("the split is empty.")
    training = module.training
    module.eval()
    parts = []
    for start in range(0, len(split), batch_size):
        inputs, _ = tensors(split, np.arange(start, min(start + batch_size, len(split))))
        parts.append(first_output(module, inputs).numpy())
    module.train(training)
    return np.concatenate(parts)
