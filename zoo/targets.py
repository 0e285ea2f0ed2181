"""Targets as data sets hold them, brought at the border to what losses and metrics take, or refused in one sentence."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError
from artifacts.specs import Signature, TensorSpec
from artifacts.types import Array, Arrays, Split
from zoo.metrics import Metric, Names, find, named, usual
from zoo.named_targets import MASK, base, fields, mask_of, together
from zoo.pairing import IGNORED, shown
from zoo.splits import IN_MEMORY, ArraySplit, TaskData, rows_at_once

LOOKED_AT = 256
"""Examples of a lazy split whose targets decide what they are; every batch is held to that."""

Form = Callable[[Array], Array]


def settled(data: TaskData, metrics: Names) -> TaskData:
    """The task with its targets as `settle` brings them; without `metrics`, of which the first decides, the targets decide it.

    Raises:
        DataError: see `settle`.
        RequestError: there is no such metric.
    """
    names = (metrics,) if isinstance(metrics, str) else tuple(metrics or ())
    train, test = settle((data.train, data.test), data.labels, named(names))
    decides, *further = names or (usual(test.batch(np.arange(1))[1]),)
    return replace(data, train=train, test=test, metric=decides, further=tuple(further))


@dataclass(frozen=True)
class Formed:
    """A split whose targets are brought into another form as they are read."""

    split: Split
    form: Form

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, indices: NDArray[np.int64]) -> tuple[Arrays, Array]:
        """See `artifacts.types.Split`."""
        inputs, targets = self.split.batch(indices)
        return inputs, self.form(targets)

    def fingerprint(self) -> str:
        """See `artifacts.types.Split`."""
        return hashlib.sha256(f"formed {self.split.fingerprint()}".encode()).hexdigest()


def settle(parts: Sequence[Split], labels: tuple[str, ...] | None, metrics: Sequence[Metric]) -> list[Split]:
    """The splits of a task with their targets as class numbers (N, ...) in int64, or as the values that they are.

    Columns (N, 1), one-hot rows (N, classes), names among `labels`, booleans, unsigned and whole real numbers become class
    numbers where the task has classes; whole numbers become float32 where its metric is one of values. Of targets by name each
    by the metric that scores it; class numbers that their mask leaves out become `IGNORED`.

    Args:
        parts: training and test split.
        labels: the names of the classes.
        metrics: of the task; none: the targets decide.

    Raises:
        DataError: targets are text, complex, negative or fractional class numbers, or of another kind in the other split.
    """
    seen = [_seen(part) for part in parts]
    form = _former(seen, labels, metrics)
    if form is None:
        return list(parts)
    return [replace(part, targets=form(part.targets)) if _in_memory(part) else Formed(part, form) for part in parts]


def _former(seen: Sequence[Array], labels: tuple[str, ...] | None, metrics: Sequence[Metric]) -> Form | None:
    """What brings the targets of every batch into their form; none where they have it."""
    names = {targets.dtype.names for targets in seen}
    if len(names) > 1:
        told = " and ".join(", ".join(one or ("no names",)) for one in names)
        raise DataError(f"the targets of training and test split are called differently: {told}; make them alike.")
    if (fields_ := names.pop()) is None:
        return _form(seen, labels, _kind_for(metrics, None))
    own = [name for name in fields_ if base(name) == name or base(name) not in fields_]
    forms = {name: _form([fields(one)[name] for one in seen], labels, _kind_for(metrics, name)) for name in own}

    def each(targets: Array) -> Array:
        return together(_without_class_masks(fields(targets), forms))

    return each


def _without_class_masks(named: dict[str, Array], forms: Mapping[str, Form | None]) -> dict[str, Array]:
    """Targets by name in their forms; a mask of class numbers is in them."""
    made = {name: form(named[name]) if form else named[name] for name, form in forms.items()}
    for name, value in list(made.items()):
        mask = mask_of(named, name)
        if mask is None:
            continue
        if value.dtype.kind == "i" and mask.shape == value.shape:
            made[name] = np.where(mask, value, IGNORED)
        else:
            made[f"{name}{MASK}"] = mask
    return made


def _kind_for(metrics: Sequence[Metric], name: str | None) -> str | None:
    """What the metrics take of a target, `classes`, `values` or `any`; none: the target decides."""
    kinds = [m.targets for m in metrics if name is None or m.of == name or (m.of is None and len(metrics) == 1)]
    # one that takes anything leaves to the others what the targets are
    decided = [kind for kind in kinds if kind != "any"]
    return decided[0] if decided else "any" if kinds and name is None else None


def _form(seen: Sequence[Array], labels: tuple[str, ...] | None, kind: str | None) -> Form | None:
    """What brings one target into its form; none where it has it."""
    if kind == "any":
        return None
    if len({(_family(targets), targets.shape[1:]) for targets in seen}) > 1:
        kinds = " and ".join(f"{targets.dtype} {shown(targets.shape)}" for targets in seen)
        raise DataError(f"the targets of training and test split are of different kinds: {kinds}; make them alike.")
    hot = all(map(_one_hot, seen))

    def form(targets: Array) -> Array:
        return targets.astype(np.float32) if kind == "values" else class_numbers(targets, labels, hot)

    changes = _family(seen[0]) == "whole" if kind == "values" else _to_numbers(seen, kind == "classes")
    return form if changes else None


def class_numbers(targets: Array, labels: tuple[str, ...] | None, one_hot: bool) -> NDArray[np.int64]:
    """Class numbers (N, ...) of targets in any of their forms; see `settle`."""
    if targets.dtype.kind in "USO":
        return _named(targets, labels)
    if one_hot:
        if not _one_hot(targets):
            raise DataError("targets that are one-hot at first are not so throughout; give class numbers (N,).")
        return np.asarray(targets.argmax(axis=1), np.int64)
    if targets.dtype.kind == "f" and not (targets == np.floor(targets)).all():
        wrong = targets[targets != np.floor(targets)].flat[0]
        raise DataError(f"the targets hold {wrong:g}, which is no class number; set the data's `metric` to one of values.")
    if targets.size and targets.max() > np.iinfo(np.int64).max:
        raise DataError(f"the targets hold {targets.max()}, which is no class number.")
    numbers = _without_column(targets.astype(np.int64))
    negative = numbers[(numbers < 0) & (numbers != IGNORED)]
    if negative.size:
        raise DataError(
            f"the targets hold class {negative.flat[0]}, and classes are counted from 0; {IGNORED} says that a position "
            "does not count."
        )
    return numbers


def targets_of(split: Split) -> Array:
    """All targets of a split, (N, ...); its inputs are read some at a time, and not at all where the targets lie apart."""
    if isinstance(split, ArraySplit):
        return split.targets
    if isinstance(split, Formed):
        return split.form(targets_of(split.split))
    step = rows_at_once(split)
    return np.concatenate([split.batch(np.arange(i, min(i + step, len(split))))[1] for i in range(0, len(split), step)])


def _in_memory(part: Split) -> TypeGuard[ArraySplit]:
    """Whether the targets of a split are at hand as a whole; masks of many images may lie in a file."""
    return isinstance(part, ArraySplit) and part.targets.nbytes <= IN_MEMORY


def _seen(part: Split) -> Array:
    whole = part.targets if _in_memory(part) else part.batch(np.arange(min(LOOKED_AT, len(part))))[1]
    if any(value.dtype.kind == "c" for value in (fields(whole) or {"": whole}).values()):
        raise DataError(f"the targets are complex ({whole.dtype}); give their real and imaginary parts.")
    return whole


def _family(targets: Array) -> str:
    kind = targets.dtype.kind
    return "whole" if kind in "iub" else "text" if kind in "USO" else kind


def _to_numbers(seen: Sequence[Array], classifies: bool) -> bool:
    """Whether targets have to be made class numbers; int64 ones (N, ...) that need nothing are left as they are."""
    first = seen[0]
    if _family(first) == "text":
        return True
    if all(map(_one_hot, seen)):
        return True
    if first.dtype.kind == "f":
        return classifies
    if first.dtype.kind == "b" and first[:1].size > 1 and not classifies:
        return False
    column = first.ndim == 2 and first.shape[1] == 1
    negative = any(targets.size and targets.dtype.kind == "i" and int(targets.min()) < 0 for targets in seen)
    return column or first.dtype.kind in "ub" or negative


def _one_hot(targets: Array) -> bool:
    """Whether every row of (N, classes) has a single 1 among zeros."""
    if targets.ndim != 2 or targets.shape[1] < 2 or targets.dtype.kind not in "iubf":
        return False
    ones = np.asarray(targets == 1)
    return bool((ones | np.asarray(targets == 0)).all() and (ones.sum(axis=1) == 1).all())


def _without_column(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    return numbers.reshape(len(numbers)) if numbers.ndim == 2 and numbers.shape[1] == 1 else numbers


def _named(targets: Array, labels: tuple[str, ...] | None) -> NDArray[np.int64]:
    if labels is None:
        raise DataError(
            f"the targets are text, such as {str(targets.flat[0])!r}; give class numbers, or the classes' names as `labels`."
        )
    numbers = {name: index for index, name in enumerate(labels)}
    unknown = [str(name) for name in targets.flat if str(name) not in numbers]
    if unknown:
        raise DataError(f"the targets hold {unknown[0]!r}, which is none of the labels: {', '.join(labels[:8])}.")
    found = np.asarray([numbers[str(name)] for name in targets.flat], np.int64).reshape(targets.shape)
    return _without_column(found)


def hold(data: TaskData, signature: Signature) -> None:
    """Hold the network's outputs against the targets of every split, before any work.

    Raises:
        DataError: they do not fit each other, or a class number is beyond the outputs; names the split.
    """
    if not data.labelled:
        return
    shapes = {out.name: _examples_first(out) for out in signature.outputs if out.batch_axis is not None}
    for name, part in (("training", data.train), ("test", data.test)):
        for metric in data.metrics:
            try:
                find(metric).hold(shapes, _seen(part))
            except DataError as error:
                raise DataError(f"{name} split, metric {metric!r}: {error}") from None


def _examples_first(spec: TensorSpec) -> tuple[int, ...]:
    """The shape of an output of one example, (1, ...)."""
    sizes = [size if isinstance(size, int) else 1 for size in spec.shape]
    return 1, *(size for axis, size in enumerate(sizes) if axis != spec.batch_axis)
