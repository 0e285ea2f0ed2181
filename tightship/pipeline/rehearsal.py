"""Before a training begins: how many threads it is quickest with, tried on a network of its own."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from filelock import FileLock

from compress.configs import FactorizeConfig, FinetuneConfig, PalettizeConfig, PruneConfig, QuantizeConfig
from tightship.pipeline.stages.job import Job
from tightship.planning.threads import Choice, remember, remembered
from tightship.store import Result, Store

if TYPE_CHECKING:
    from torch import nn

    from compress.training.loop import Loss, Training


def choose(key: str, store: Store, job: Job, captured: AbstractContextManager[None]) -> Choice:
    """The number of threads for a step whose plan left it open, timed now.

    Runs on one store that come to the same step wait for each other, so that they take the same number. What libraries print
    meanwhile is `captured`, and what goes wrong is told as it would be of the step.
    """
    locks = store.root / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"threads-{key}.lock"), captured:
        choice = remembered(key, store)
        if choice is None:
            job.progress(0.0, "timing steps with different numbers of threads")
            choice = _tried(job)
            remember(key, store, choice)
        return choice


@contextmanager
def computing(choice: Choice | None) -> Iterator[None]:
    """Compute with the threads that were chosen, and say in the log which these are; with PyTorch's own without a choice."""
    if choice is None:
        yield
        return
    from compress.training.threads import using

    os.write(1, f"{choice}\n".encode())  # the log, whatever stands in for sys.stdout
    with using(choice.threads):
        yield


def said(result: Result, choice: Choice | None) -> Result:
    """What a stage says of its work, and of the number of threads where that was chosen."""
    if choice is None:
        return result
    details = {"threads": choice.threads, "step_seconds_by_threads": {str(n): s for n, s in choice.seconds.items()}}
    return replace(result, summary=f"{result.summary}, {choice.short}", details={**result.details, **details})


def _tried(job: Job) -> Choice:
    import torch

    from compress.training.threads import step_seconds, undrawn

    with undrawn():
        seconds = step_seconds(*rehearsed(job))
    return Choice(min(seconds, key=seconds.__getitem__) if seconds else torch.get_num_threads(), seconds)


def rehearsed(job: Job) -> "tuple[nn.Module, Loss, Training]":
    """A training like the one that the step will do, on a network that nothing else holds.

    It is the network that comes in, before it is pruned, factorized or its ranges are learned; distillation leaves out what
    compares layers. What it takes for granted is the same for all numbers of threads.
    """
    from compress.distillation.distil import distillation_loss
    from compress.training.loop import Training, task_loss
    from tightship.pipeline.stages import compression

    kind, split, seed = job.step.kind, job.data.train, job.recipe.seed
    if kind == "start":
        model, training = compression.untrained(job)
        return model.module, task_loss(training.label_smoothing), Training(split, training, seed)
    if kind == "distil":
        model, config, teachers = compression.pupil(job)
        smoothing, kind_of_loss = config.label_smoothing, config.output_loss
        loss = distillation_loss(teachers, config.kd_weight, config.temperature, smoothing, kind_of_loss)
        return model.module, loss, Training(split, config, seed, masks=model.masks)
    model, tuning, epochs = job.model(job.step.needs[1]), *finetuning(job)
    loss = distillation_loss(model.module, tuning.kd_weight, tuning.temperature, tuning.label_smoothing)
    return model.module, loss, Training(split, tuning.training(epochs), seed, masks=model.masks)


def finetuning(job: Job) -> tuple[FinetuneConfig, int]:
    """How a step that compresses a network trains it, and for how many epochs in all."""
    options = {name: value for name, value in job.step.config.items() if name != "timed"}
    match job.step.kind:
        case "prune":
            pruning = PruneConfig.model_validate(options)
            return pruning, pruning.steps * pruning.finetune_epochs
        case "factorize":
            factorizing = FactorizeConfig.model_validate(options)
            return factorizing, factorizing.finetune_epochs
        case "palettize":
            palettizing = PalettizeConfig.model_validate(options)
            return palettizing, palettizing.finetune_epochs
    # quantization-aware training, or the accuracy guard, which may end with it
    quantizing = job.recipe.stage("quantize")
    assert isinstance(quantizing, QuantizeConfig)
    return quantizing, quantizing.qat_epochs
