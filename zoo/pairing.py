"""Which value of an output belongs to which value of a target: held against each other by shape, so that nothing broadcasts.

Shapes are written with N, the examples, first; P stands for any number of axes of positions, such as (T,) or (H, W).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError
from artifacts.types import Array

IGNORED = -100
"""A class number that says that a position does not count, as in PyTorch's `CrossEntropyLoss`."""


def shown(shape: Sequence[int]) -> str:
    """A shape as messages show it: (N, 10)."""
    return f"({', '.join(map(str, ('N', *shape[1:])))}{',' if len(shape) == 1 else ''})"


def class_axis(output: Sequence[int], target: Sequence[int]) -> int:
    """The axis of an output that tells classes apart, from its shape and that of its class numbers.

    Args:
        output: (N, C, *P), as PyTorch's losses have it, or (N, *P, C).
        target: (N, *P).

    Raises:
        DataError: neither fits, or both do.
    """
    fits = [axis for axis in range(1, len(output)) if (*output[:axis], *output[axis + 1 :]) == tuple(target)]
    if not fits or len(output) < 2:
        raise DataError(
            f"class numbers {shown(target)} fit no axis of outputs {shown(output)}: needed are outputs (N, classes, ...) or "
            "(N, ..., classes) with the same positions; for outputs without classes use a loss and a metric of values."
        )
    if len(output) == 3 and len(fits) > 1:
        raise DataError(
            f"outputs {shown(output)} have as many classes as positions, so their shape does not say which axis the classes "
            "are; return (N, positions, classes) for another number of positions."
        )
    # images are (N, C, H, W) throughout PyTorch
    return fits[0] if 1 in fits else fits[-1]


def classes_of(output: Array, target: Array) -> tuple[Array, Array]:
    """Scores with their classes last, (N, *P, C), and class numbers (N, *P).

    Raises:
        DataError: the shapes do not fit, or a class number is beyond the scores.
    """
    output, target = _slim(output, target)
    scores = np.moveaxis(output, class_axis(output.shape, target.shape), -1)
    there = target[target != IGNORED]
    count = scores.shape[-1]
    if there.size and not 0 <= there.min() <= there.max() < count:
        wrong = there.max() if there.max() >= count else there.min()
        raise DataError(f"the targets hold class {wrong}, and {told_apart(count)}.")
    return scores, target


def axis_of_classes(output: Array, target: Array) -> int:
    """The axis of an output (N, ...) that tells classes apart.

    Raises:
        DataError: see `class_axis`.
    """
    slim, target = _slim(output, target)
    return 1 if target.ndim == 1 else class_axis(slim.shape, target.shape)


def told_apart(count: int) -> str:
    """How many classes a network tells apart, as messages say it, and what one column of scores is for."""
    if count == 1:
        return (
            "the network has one score for it, which tells no classes apart: for yes or no set the data's `metric` to one of "
            "labels, such as auc-labels, and the `loss` to bce"
        )
    return f"the network tells {count} classes apart, 0 to {count - 1}"


def _slim(output: Array, target: Array) -> tuple[Array, Array]:
    """Without axes of size one that one of them has and the other lacks: masks (N, 1, H, W), scores (N, C, 1, 1)."""
    if target.ndim == output.ndim and target.ndim > 1 and target.shape[1] == 1:
        return output, target[:, 0]
    if target.ndim == 1:
        return output.reshape(output.shape[:2] + tuple(s for s in output.shape[2:] if s != 1)), target
    return output, target


def shares(hit: NDArray[np.bool_], classes: Array) -> Array:
    """Whether each example is right, (N,) booleans; of positions the share that is, 1 where none counts.

    Args:
        hit: (N, *P).
        classes: of the same shape; those that are `IGNORED` do not count.
    """
    if hit.ndim == 1 and not (classes == IGNORED).any():
        return hit
    counted = (classes != IGNORED).reshape(len(classes), -1)
    hits, counts = (hit.reshape(counted.shape) & counted).sum(axis=1), counted.sum(axis=1)
    return np.where(counts, hits / np.maximum(counts, 1), 1.0)


def share(hit: NDArray[np.bool_], classes: Array) -> float:
    """The share of all that counts and is right, 0..1.

    Raises:
        DataError: nothing counts.
    """
    return float(hit[counted(classes)].mean())


def counted(classes: Array) -> NDArray[np.bool_]:
    """Which class numbers count.

    Raises:
        DataError: none does.
    """
    found = np.asarray(classes != IGNORED)
    if not found.any():
        raise DataError(f"no target counts: every class number is {IGNORED}.")
    return found


def counted_values(output: Array, target: Array, mask: NDArray[np.bool_] | None) -> tuple[Array, Array]:
    """An output and its target at the positions that count, (M, ...); both as they are where there is no mask.

    Args:
        output: (N, ...).
        target: of the same shape but for axes of size one.
        mask: of the target's shape, or of that of its first axes, such as (N, T) for (N, T, F).

    Raises:
        DataError: the shapes do not fit, or nothing counts.
    """
    if mask is None:
        return output, target
    output, target = values_of(output, target)
    if mask.shape != target.shape[: mask.ndim]:
        raise DataError(f"a mask {shown(mask.shape)} does not say which positions of targets {shown(target.shape)} count.")
    if not mask.any():
        raise DataError("of the targets no position counts: their mask is false throughout.")
    return output[mask], target[mask]


def values_of(output: Array, target: Array) -> tuple[Array, Array]:
    """An output and its target of equal shape; axes of size one may be missing on either side.

    Raises:
        DataError: they differ in more than that.
    """
    if [s for s in output.shape[1:] if s != 1] != [s for s in target.shape[1:] if s != 1] or len(output) != len(target):
        raise DataError(f"outputs {shown(output.shape)} and targets {shown(target.shape)} are not value by value the same.")
    return output.reshape(target.shape), target
