"""Knowledge distillation: what a student loses by differing from its teachers. The families are in `compress/distillation/`."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from artifacts.errors import ModelError
from compress.configs import DistilConfig, FinetuneConfig
from compress.distillation import attention, features
from compress.distillation.activation_hooks import ActivationHooks
from compress.distillation.further_outputs import further
from compress.distillation.teachers import Network, Teacher, as_teachers, check_outputs, frozen, open_file, same_output
from compress.losses.choice import TaskLoss
from compress.losses.logits import distillation_term
from compress.training.batches import all_outputs
from compress.training.loop import Inputs, Loss, Targets, first_output, task_loss, task_term
from compress.training.losses import Paired, taught, teaching_term

__all__ = [
    "Network",
    "Teacher",
    "distillation_loss",
    "distillation_objective",
    "distillation_term",
    "finetuning_loss",
    "frozen",
    "open_file",
]

FAMILIES = {"features": features.FeatureLoss, "attention": attention.AttentionLoss}
WEIGHTS = {"features": features.WEIGHT, "attention": attention.WEIGHT}


def distillation_loss(
    teacher: nn.Module | Sequence[Teacher],
    kd_weight: float,
    temperature: float,
    label_smoothing: float = 0.0,
    output_loss: str | Mapping[str, str] | None = None,
    loss: TaskLoss | None = None,
) -> Loss:
    """kd_weight · distillation + (1 - kd_weight) · task loss.

    The distillation term is the softened divergence, and for real-valued targets the MSE, unless `output_loss` names another
    of `compress.losses`; the task's own is `loss`, or the usual one for its targets. Each output that has targets is taught
    with the weight that the loss gives it, at the positions that count; those without follow the first teacher's. A network
    is copied and frozen; several teachers have their weights normalized. With kd_weight 0 no teacher is run.
    """
    if kd_weight == 0:
        return task_loss(label_smoothing, loss)
    teachers = as_teachers(teacher)
    _fold(teachers)

    def both(module: nn.Module, inputs: Inputs, targets: Targets) -> Tensor:
        said, given = [t.outputs(inputs) for t in teachers], all_outputs(module, inputs)
        pairs = taught(given, targets, loss)
        soft = further(given, said[0], {pair.name for pair in pairs})
        for pair in pairs:
            soft = soft + pair.weight * _taught(pair, teachers, said, list(given).index(pair.name), temperature, output_loss)
        return kd_weight * soft + (1 - kd_weight) * task_term(given, targets, label_smoothing, loss)

    return both


def _taught(
    pair: Paired,
    teachers: Sequence[Teacher],
    said: Sequence[dict[str, Tensor]],
    place: int,
    temperature: float,
    output_loss: str | Mapping[str, str] | None,
) -> Tensor:
    """How far one output is from the teachers' at the positions that count."""
    named = output_loss.get(pair.name) if isinstance(output_loss, Mapping) else output_loss
    if pair.counted.empty:
        return pair.output.sum() * 0
    ours, *theirs = (_rows(pair, value) for value in (pair.output, *(same_output(one, pair.name, place) for one in said)))
    return teaching_term(named, pair.real)(ours, theirs, [t.weight for t in teachers], temperature)


def _rows(pair: Paired, value: Tensor) -> Tensor:
    """What counts of an output, (N, C, *P) or (M, ...); a network's single column stays one."""
    found = pair.counted.take(value)
    return found if found.ndim > 1 else found[:, None] if value.ndim > 1 else found


def finetuning_loss(teacher: nn.Module, config: FinetuneConfig) -> Loss:
    """What training after a compression step minimizes: the model as it came in teaches."""
    return distillation_loss(teacher, config.kd_weight, config.temperature, config.label_smoothing, loss=config.loss)


@contextmanager
def distillation_objective(
    student: nn.Module, teacher: nn.Module | Sequence[Teacher], config: DistilConfig, example: Inputs, seed: int
) -> Iterator[tuple[Loss, nn.Module | None]]:
    """The loss that `config` asks for, and what is trained with the student and thrown away; hooks go when the block ends.

    Raises:
        ModelError: a layer does not exist or cannot be compared, a teacher has other outputs or cannot show its layers.
    """
    teachers = as_teachers(teacher)
    _fold(teachers, keep=() if config.method == "logits" else tuple(config.layers.values()))
    if config.kd_weight:
        check_outputs(student, teachers, example, _try)
    base = distillation_loss(
        teachers, config.kd_weight, config.temperature, config.label_smoothing, config.output_loss, config.loss
    )
    if config.method == "logits":
        yield base, None
        return
    shown = teachers[0].run
    if not isinstance(shown, Network):
        what = f"method {config.method!r} compares layers with the first teacher"
        raise ModelError(f"{what}, which is no network; use method logits.")
    with (
        ActivationHooks(student, config.layers, "student") as ours,
        ActivationHooks(shown.module, config.layers.values(), "teacher") as theirs,
    ):
        names = list(config.layers.items())
        _try(student, example)
        shown.outputs(example)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            compare = FAMILIES[config.method](names, _pairs(names, ours, theirs))
        weight = WEIGHTS[config.method] if config.feature_weight is None else config.feature_weight

        def loss(module: nn.Module, inputs: Inputs, targets: Targets) -> Tensor:
            value = base(module, inputs, targets)
            if not config.kd_weight:
                # its outputs are not asked for, its layers are
                shown.outputs(inputs)
            distance: Tensor = compare(_pairs(names, ours, theirs))
            return value + weight * distance

        yield loss, compare if any(True for _ in compare.parameters()) else None


def _fold(teachers: Sequence[Teacher], keep: Collection[str] = ()) -> None:
    for teacher in teachers:
        if isinstance(teacher.run, Network):
            teacher.run.fold(keep)


def _pairs(names: Sequence[tuple[str, str]], ours: ActivationHooks, theirs: ActivationHooks) -> list[tuple[Tensor, Tensor]]:
    return [(ours[student], theirs[teacher]) for student, teacher in names]


@torch.no_grad()
def _try(module: nn.Module, example: Inputs) -> Tensor:
    """The first output in eval mode; the network's mode is restored and its statistics are not touched."""
    training = module.training
    module.eval()
    output = first_output(module, example)
    module.train(training)
    return output
