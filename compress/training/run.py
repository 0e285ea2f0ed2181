"""One training run, from wherever its checkpoint stands to the network that is kept."""

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from artifacts.errors import DataError, StageCrashed
from artifacts.types import Split
from compress.training.augment import augment
from compress.training.batches import Inputs, Mixed, Targets, subset, tensors
from compress.training.config import TrainConfig
from compress.training.convolutions import sound_gradients
from compress.training.devices import accelerator_for, agree, seed_all
from compress.training.ema import Average, holding, snapshot
from compress.training.holdout import Score, hold_out, score_of
from compress.training.losses import Loss
from compress.training.memory_format import laid_out, lay_out
from compress.training.mixing import mix
from compress.training.optim import apply_masks, make_optimizer, rate
from compress.training.state import load_state, save_state

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
    extra: nn.Module | None = None
    """Trained along with the network and no part of it, such as the adapters of feature distillation."""


class _Objective(nn.Module):
    """The loss as a module, so that Accelerate wraps network, extra parts and loss as one."""

    def __init__(self, module: nn.Module, extra: nn.Module | None, loss: Loss) -> None:
        super().__init__()
        self.module, self.extra, self.loss = module, extra, loss

    def forward(self, inputs: Inputs, targets: Targets) -> Tensor:
        return self.loss(self.module, inputs, targets)


def _moved(targets: Targets, device: torch.device) -> Targets:
    if isinstance(targets, Mixed):
        return Mixed(*(t.to(device) for t in targets))
    return {name: t.to(device) for name, t in targets.items()} if isinstance(targets, dict) else targets.to(device)


class Run:
    """One call of `fit`."""

    def __init__(self, module: nn.Module, loss: Loss, training: Training) -> None:
        sound_gradients()
        self.training, self.config, self.module = training, training.config, module
        self.accelerator = accelerator_for(self.config.precision)
        chosen = subset(training.split, self.config.samples, training.seed)
        self.chosen, self.held_out = hold_out(chosen, self.config.holdout, training.seed)
        # a last batch of one example has no batch statistics
        self.size = min(self.config.batch_size, len(self.chosen))
        if self.size < self.accelerator.num_processes:
            raise DataError(f"a batch of {self.size} cannot be split over {self.accelerator.num_processes} processes.")
        self.batches = max(1, len(self.chosen) // self.size)
        self.per_epoch = -(-self.batches // self.config.accumulate)
        objective = _Objective(module, training.extra, loss).to(self.accelerator.device)
        if self.config.channels_last:
            lay_out(objective)
        optimizer = make_optimizer(objective, self.config)
        self.average = Average(module, self.config.ema) if self.config.ema else None
        self.best: Score | None = None
        self.latest: Score | None = None
        self.best_state: dict[str, Tensor] = {}
        self.stale = 0
        self.shuffled = (-1, self.chosen)
        self.objective, self.optimizer = self.accelerator.prepare(objective, optimizer)

    def run(self) -> None:
        """Train from wherever the checkpoint stands."""
        start, total = self._restore(), self.config.epochs * self.per_epoch
        self.module.train()
        began = saved = time.monotonic()
        for step in range(start, total):
            epoch, index = divmod(step, self.per_epoch)
            if self._given_up():
                self.training.progress(1.0, f"stopped after epoch {epoch}: no better score in {self.stale} epochs")
                break
            if index == 0 and self.training.on_epoch:
                self.training.on_epoch(self.module, epoch / self.config.epochs)
            value = self.step(step, step / total)
            if index == self.per_epoch - 1 and len(self.held_out):
                self._evaluate()
            if self.accelerator.is_main_process:
                left = (time.monotonic() - began) / (step + 1 - start) * (total - step - 1)
                self.training.progress((step + 1) / total, self._message(epoch, value, left))
            if self.training.checkpoint and time.monotonic() - saved > self.training.every_seconds:
                self._save(self.training.checkpoint, step + 1)
                saved = time.monotonic()
        self._finish()

    def step(self, step: int, share: float) -> float:
        """One update, of up to `accumulate` batches; the mean of their losses."""
        epoch, index = divmod(step, self.per_epoch)
        order = self._order(epoch)
        width = self.size * self.config.accumulate
        group = order[index * width : min((index + 1) * width, self.batches * self.size)]
        parts = [group[i : i + self.size] for i in range(0, len(group), self.size)]
        seed_all(self.training.seed * 1_000_003 + step, self.accelerator.process_index)
        for settings in self.optimizer.param_groups:
            settings["lr"] = rate(self.config, share)
        self.optimizer.zero_grad(set_to_none=True)
        values = [self._backward(part, len(parts), step, last=i == len(parts) - 1) for i, part in enumerate(parts)]
        if self.config.clip_norm is not None:
            self.accelerator.clip_grad_norm_(self.objective.parameters(), self.config.clip_norm)
        self.optimizer.step()
        apply_masks(self.module, self.training.masks)
        if self.average:
            self.average.update(self.module, self.training.masks)
        return sum(values) / len(values)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """The examples in this epoch's order."""
        if self.shuffled[0] != epoch:
            self.shuffled = epoch, np.random.default_rng([self.training.seed, epoch]).permutation(self.chosen)
        return self.shuffled[1]

    def _backward(self, part: NDArray[np.int64], parts: int, step: int, last: bool) -> float:
        """Add one batch's gradients; each process takes its slice of the batch."""
        processes = self.accelerator.num_processes
        mine = part[self.accelerator.process_index :: processes]
        inputs, targets = self._batch(mine)
        with nullcontext() if last else self.accelerator.no_sync(self.objective):
            value: Tensor = self.objective(inputs, targets)
            if not torch.isfinite(value):
                raise StageCrashed(
                    f"the loss became {value.item()} at step {step}; lower learning_rate {self.config.learning_rate}."
                )
            # processes are averaged with equal weights, though their slices may differ by one example
            self.accelerator.backward(value * (len(mine) * processes / len(part) / parts))
        return value.item()

    def _batch(self, indices: NDArray[np.int64]) -> tuple[Inputs, Targets]:
        inputs, raw = tensors(self.training.split, indices)
        inputs, targets = mix(augment(inputs, self.config.augment), raw, self.config.mixup, self.config.cutmix)
        device = self.accelerator.device
        moved = _moved(targets, device)
        there = {name: x.to(device) for name, x in inputs.items()}
        return {name: laid_out(x) for name, x in there.items()} if self.config.channels_last else there, moved

    def _evaluate(self) -> None:
        """Score what would be kept if training ended now, and keep it if it is the best so far."""
        with holding(self.module, self.average):
            agree(self.accelerator, self.module)
            score = score_of(self.module, self.training.split, self.held_out, named=self.config.loss)
            self.latest = score
            if score.beats(self.best):
                self.best, self.best_state, self.stale = score, snapshot(self.module, "cpu"), 0
            else:
                self.stale += 1

    def _given_up(self) -> bool:
        return self.config.patience is not None and self.stale >= self.config.patience

    def _finish(self) -> None:
        if self.best_state:
            self.module.load_state_dict(self.best_state)
        elif self.average:
            self.module.load_state_dict(self.average.state)
        agree(self.accelerator, self.module)
        self.module.cpu()
        lay_out(self.module, torch.contiguous_format)

    def _message(self, epoch: int, value: float, left: float) -> str:
        scored = f" held-out {self.latest.name} {self.latest.metric:.4f}" if self.latest else ""
        minutes, seconds = divmod(round(left), 60)
        return f"epoch {epoch + 1}/{self.config.epochs} loss {value:.3f}{scored}, {minutes}:{seconds:02} left"

    def _save(self, path: Path, step: int) -> None:
        if not self.accelerator.is_main_process:
            return
        extra, scaler = self.training.extra, self.accelerator.scaler
        save_state(
            path,
            {
                "step": step,
                "module": self.module.state_dict(),
                "extra": extra.state_dict() if extra else {},
                "optimizer": self.optimizer.state_dict(),
                "scaler": scaler.state_dict() if scaler else {},
                "average": {"state": self.average.state, "updates": self.average.updates} if self.average else {},
                "best": {
                    "score": {"metric": self.best.metric, "loss": self.best.loss, "name": self.best.name},
                    "state": self.best_state,
                }
                if self.best
                else {},
                "stale": self.stale,
            },
        )

    def _restore(self) -> int:
        state = load_state(self.training.checkpoint)
        if state is None:
            return 0
        self.module.load_state_dict(state["module"])
        if self.training.extra:
            self.training.extra.load_state_dict(state["extra"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        if self.average:
            for name, tensor in state["average"]["state"].items():
                self.average.state[name].copy_(tensor)
            self.average.updates = int(state["average"]["updates"])
        if state["best"]:
            self.best, self.best_state = Score(**state["best"]["score"]), state["best"]["state"]
        self.stale = int(state["stale"])
        return int(state["step"])
