"""Before a training begins: how many threads it is quickest with, tried on a network of its own."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from filelock import FileLock

from compress.configs import FinetuneConfig, QuantizeConfig
from tightship.pipeline.stages.job import Job
from tightship.pipeline.stages.results import ChosenThreads, ExportResult, NetworkResult, StageResult
from tightship.planning.step_configs import (
    DistilStep,
    FactorizeStep,
    GuardStep,
    PalettizeStep,
    PruneStep,
    QatStep,
    StartStep,
    StepConfig,
)
from tightship.planning.threads import Choice, remember, remembered
from tightship.store import Store

if TYPE_CHECKING:
    from torch import nn

    from compress.training.loop import Loss, Training


def choose(key: str, store: Store, job: Job[StepConfig], captured: AbstractContextManager[None]) -> Choice:
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


def said(result: StageResult, choice: Choice | None) -> StageResult:
    """What a stage says of its work, and of the number of threads where that was chosen."""
    if choice is None or not isinstance(result, NetworkResult | ExportResult):
        return result
    chosen = ChosenThreads(choice.threads, choice.seconds)
    return replace(result, summary=f"{result.summary}, {choice.short}", threads=chosen)


def _tried(job: Job[StepConfig]) -> Choice:
    import torch

    from compress.training.threads import step_seconds, undrawn

    with undrawn():
        seconds = step_seconds(*rehearsed(job))
    return Choice(min(seconds, key=seconds.__getitem__) if seconds else torch.get_num_threads(), seconds)


def rehearsed(job: Job[StepConfig]) -> "tuple[nn.Module, Loss, Training]":
    """A training like the one that the step will do, on a network that nothing else holds.

    It is the network that comes in, before it is pruned, factorized or its ranges are learned; distillation leaves out what
    compares layers. What it takes for granted is the same for all numbers of threads.
    """
    from compress.distillation.distil import distillation_loss, finetuning_loss
    from compress.training.loop import Training, task_loss
    from tightship.pipeline.stages import compression

    split, told = job.data.train, job.config
    if isinstance(told, StartStep):
        model, training = compression.untrained(job, told)
        return model.module, task_loss(training.label_smoothing, training.loss), Training(split, training, told.seed)
    if isinstance(told, DistilStep):
        model, config, teachers = compression.student(job, told)
        smoothing, kind_of_loss = config.label_smoothing, config.output_loss
        loss = distillation_loss(teachers, config.kd_weight, config.temperature, smoothing, kind_of_loss, config.loss)
        return model.module, loss, Training(split, config, told.seed, masks=model.masks)
    model, (tuning, epochs, seed) = job.network(), finetuning(told)
    loss = finetuning_loss(model.module, tuning)
    return model.module, loss, Training(split, tuning.training(epochs), seed, masks=model.masks)


def finetuning(told: StepConfig) -> tuple[FinetuneConfig, int, int]:
    """How a step that compresses a network trains it, for how many epochs in all, and the seed."""
    match told:
        case PruneStep(config=config):
            return config, config.steps * config.finetune_epochs, told.seed
        case FactorizeStep(config=config) | PalettizeStep(config=config):
            return config, config.finetune_epochs, told.seed
        case QatStep(config=config):
            return config, config.qat_epochs, told.seed
        case GuardStep(quantize=QuantizeConfig() as config):  # it may end with a training
            return config, config.qat_epochs, told.seed
    raise AssertionError(f"{type(told).__name__} trains nothing")
