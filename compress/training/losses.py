"""The losses of `compress.losses` on batches: the task's own, and what teachers add; each output against its own targets."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from artifacts.errors import DataError, ModelError, nearest
from compress.losses import LOSSES, usual_task, usual_teaching
from compress.losses.choice import OF_ONES_OWN, OutputLoss, TaskLoss
from compress.losses.masks import Counted, counted, whole
from compress.training.batches import Inputs, Mixed, Targets, all_outputs
from zoo.factories import resolve
from zoo.named_targets import MASK, base

if TYPE_CHECKING:
    from compress.losses.base import TeachingTerm

Loss = Callable[[nn.Module, Inputs, Targets], Tensor]
"""(module, inputs by name, targets) -> a scalar to minimize."""

Outputs = Mapping[str, Tensor]
"""A network's outputs by name, in its order."""


@dataclass(frozen=True)
class Paired:
    """One output with its own targets."""

    name: str
    output: Tensor
    counted: Counted
    loss: str | None = None
    weight: float = 1.0

    @property
    def real(self) -> bool:
        """Whether its targets are values and not classes."""
        return self.counted.targets.is_floating_point()


def task_loss(label_smoothing: float = 0.0, loss: TaskLoss | None = None) -> Loss:
    """The loss of this name; by default cross-entropy for whole-number targets, mean squared error for real ones."""

    def of_module(module: nn.Module, inputs: Inputs, targets: Targets) -> Tensor:
        return task_term(all_outputs(module, inputs), targets, label_smoothing, loss)

    return of_module


def task_term(outputs: Outputs, targets: Targets, label_smoothing: float = 0.0, loss: TaskLoss | None = None) -> Tensor:
    """The task's own loss for one batch: the weighted sum over the outputs that have targets, or that the loss names.

    For mixed targets the two terms are added by their shares; cross-entropy is linear in the target distribution.

    Raises:
        DataError: the targets are of a kind that the loss does not compare with, or an output that it names is not there.
        ModelError: a loss of the user's own gives something else than a number.
    """
    if isinstance(targets, Mixed):
        first, second = (task_term(outputs, side, label_smoothing, loss) for side in (targets.first, targets.second))
        return targets.share * first + (1 - targets.share) * second
    if isinstance(loss, str) and OF_ONES_OWN.fullmatch(loss):
        return _own(loss, outputs, targets)
    terms = [pair.weight * _term(pair, label_smoothing) for pair in paired(outputs, targets, loss)]
    return torch.stack(terms).sum() if len(terms) > 1 else terms[0]


def paired(outputs: Outputs, targets: "Tensor | dict[str, Tensor]", loss: TaskLoss | None = None) -> list[Paired]:
    """Every output that is trained for, with its targets and what compares them.

    Targets without a name belong to the first output, or to each output that the loss names; those by name to the output that
    is called so.

    Raises:
        DataError: an output or a target that is named is not there.
    """
    chosen = loss if isinstance(loss, Mapping) else dict.fromkeys(_trained(outputs, targets, loss), _of_all(loss))
    return [_paired(name, outputs, targets, one) for name, one in chosen.items()]


def _of_all(loss: TaskLoss | None) -> OutputLoss:
    return OutputLoss(loss=loss if isinstance(loss, str) and not OF_ONES_OWN.fullmatch(loss) else None)


def _trained(outputs: Outputs, targets: "Tensor | dict[str, Tensor]", loss: TaskLoss | None) -> Iterator[str]:
    """The outputs that have targets; a loss of one's own may read targets that belong to none."""
    if isinstance(targets, Tensor):
        yield next(iter(outputs))
        return
    for name in targets:
        if base(name) != name and base(name) in targets:
            continue
        if name in outputs:
            yield name
        elif not (isinstance(loss, str) and OF_ONES_OWN.fullmatch(loss)):
            raise DataError(f"the data have a target {name!r}, and the network no such output; {nearest(name, outputs)}.")


def _paired(name: str, outputs: Outputs, targets: "Tensor | dict[str, Tensor]", one: OutputLoss) -> Paired:
    if name not in outputs:
        raise DataError(f"the loss names an output {name!r} that the network does not have; {nearest(name, outputs)}.")
    if not isinstance(targets, Tensor) and name not in targets:
        raise DataError(f"the loss names output {name!r}, which has no targets; {nearest(name, targets)}.")
    term = LOSSES.find(one.loss) if one.loss is not None else None
    values = term is not None and term.targets == "any"
    if term is not None and not term.positions:
        own = targets if isinstance(targets, Tensor) else targets[name]
        return Paired(name, outputs[name], whole(own), one.loss, one.weight)
    if isinstance(targets, Tensor):
        return Paired(name, outputs[name], counted(outputs[name], targets, None, values), one.loss, one.weight)
    try:
        found = counted(outputs[name], targets[name], targets.get(f"{name}{MASK}"), values)
    except DataError as error:
        raise DataError(f"output {name!r}: {error}") from None
    return Paired(name, outputs[name], found, one.loss, one.weight)


def _term(pair: Paired, label_smoothing: float) -> Tensor:
    """What one output loses against its targets; zero where none counts."""
    term, kind = LOSSES.find(pair.loss or usual_task(pair.real)), "values" if pair.real else "classes"
    if term.task is None or term.targets not in ("any", kind):
        needs = "a teacher" if term.task is None else f"targets that are {term.targets}"
        raise DataError(f"loss {term.name!r} needs {needs}, and the data's targets are {kind}; leave 'loss' out.")
    if pair.counted.empty:
        return pair.output.sum() * 0
    output = pair.counted.take(pair.output) if term.positions else pair.output
    return term.task(output, pair.counted.targets, label_smoothing)


def _own(spec: str, outputs: Outputs, targets: "Tensor | dict[str, Tensor]") -> Tensor:
    """A loss of the user's own on all outputs and targets."""
    made = resolve(spec, "loss")(dict(outputs), targets)
    if not isinstance(made, Tensor) or made.numel() != 1:
        shown = f"a tensor {tuple(made.shape)}" if isinstance(made, Tensor) else f"a {type(made).__name__}"
        raise ModelError(f"loss {spec!r} must return one number as a tensor; it returned {shown}.")
    return made.reshape(())


def taught(outputs: Outputs, targets: Targets, loss: TaskLoss | None = None) -> list[Paired]:
    """The outputs whose targets say how a teacher's are to be compared with them; see `paired`.

    A loss of the user's own may read targets in ways of its own: outputs that do not fit theirs are left out.

    Raises:
        DataError: see `paired`.
    """
    plain = targets.first if isinstance(targets, Mixed) else targets
    try:
        return paired(outputs, plain, loss)
    except DataError:
        if isinstance(loss, str) and OF_ONES_OWN.fullmatch(loss):
            return []
        raise


def teaching_term(name: str | None, real: bool) -> "TeachingTerm":
    """How outputs are compared with teachers' by the loss of this name, or by the usual one for targets of this kind.

    Raises:
        ModelError: the loss compares with targets only.
    """
    term = LOSSES.find(name or usual_teaching(real))
    if term.teaching is None:
        raise ModelError(f"loss {term.name!r} compares with targets, not with a teacher; choose another 'output_loss'.")
    return term.teaching
