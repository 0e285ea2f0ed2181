"""Prune in steps, fine-tuning after each with the incoming model as teacher; each finished step is kept on disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artifacts.files import staged
from artifacts.types import Split, TorchModel
from compress import checkpoint
from compress.configs import PruneConfig
from compress.counting import count
from compress.distil import distillation_loss
from compress.loop import Progress, Training, fit, silent, subset
from compress.pruning.schedules import progress_after
from compress.pruning.structured import cut_to, cuttable, rank, widths
from compress.pruning.unstructured import mask_to

RANKING_EXAMPLES = 256


@dataclass(frozen=True)
class Pruned:
    """A pruned network and what was measured on the way."""

    model: TorchModel
    details: Mapping[str, Any]


def prune(
    model: TorchModel,
    config: PruneConfig,
    split: Split,
    *,
    seed: int,
    work: Path | None = None,
    progress: Progress = silent,
) -> Pruned:
    """Prune a copy of `model` until the measured goal of `config` is reached; `model` itself is left as it is.

    Raises:
        ModelError: the model cannot be traced, or the goal cannot be reached.
    """
    example = split.batch(subset(split, 2, seed))[0]
    start = count(model.module, example)
    loss = distillation_loss(model.module, config.kd_weight, config.temperature)
    current, refused, trace = model, dict[str, str](), []
    for step in range(1, config.steps + 1):
        share = progress_after(step, config.steps, config.schedule)
        done = work / f"step-{step}" if work else None
        if done and done.is_dir():
            current = checkpoint.load(done)
        else:
            if config.macs is not None:
                layers, refused = cuttable(current, example)
                groups = rank(current, layers, config, split, subset(split, RANKING_EXAMPLES, seed), seed + step)
                goal = start["macs"] * (1 - (1 - config.macs) * share)
                current = cut_to(current, groups, goal, config.align, example)
            else:
                current = mask_to(current, float(config.sparsity or 0) * share, config.criterion, seed + step)
            current = _finetune(current, config, split, loss, seed + step, done, _part(progress, step, config.steps))
        now = count(current.module, example)
        trace.append({"step": step, "macs": now["macs"], "parameters": now["parameters"], "sparsity": now["sparsity"]})
    if config.macs is not None:
        _, refused = cuttable(current, example)
    details = {"steps": trace, "not_cut": refused, "widths": dict(widths(current.module))}
    return Pruned(current, details)


def _part(progress: Progress, step: int, steps: int) -> Progress:
    return lambda share, message: progress((step - 1 + share) / steps, f"step {step}/{steps} {message}")


def _finetune(
    model: TorchModel, config: PruneConfig, split: Split, loss: Any, seed: int, done: Path | None, progress: Progress
) -> TorchModel:
    """Fine-tune in place (the network is ours) and keep the finished step on disk."""
    # the cut itself is not kept: it is made again, the same, from the step before
    state = done.with_suffix(".state") if done else None
    fit(model.module, loss, Training(split, config.training(config.finetune_epochs), seed, state, progress, model.masks))
    if done:
        with staged(done) as folder:
            checkpoint.save(model, folder)
    return model
