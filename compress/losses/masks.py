"""Outputs at the positions that count: those whose class number is not ignored, or whose mask is true."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from artifacts.errors import DataError
from compress.losses.shapes import like, scores_first
from zoo.pairing import IGNORED, shown

if TYPE_CHECKING:
    from torch import Tensor


class Counted(NamedTuple):
    """One output's target at the positions that count, and what brings outputs of its shape there."""

    targets: "Tensor"
    """Class numbers (N, *P) or values (N, ...) where all count; else (M,) or (M, ...)."""
    take: "Callable[[Tensor], Tensor]"
    """An output in the shape that losses take: (N, C, *P) or the target's; (M, C) or (M, ...) where some do not count."""

    @property
    def empty(self) -> bool:
        """Whether nothing counts."""
        return self.targets.numel() == 0


def counted(output: "Tensor", targets: "Tensor", mask: "Tensor | None" = None, values: bool = False) -> Counted:
    """What counts of one output.

    Args:
        output: (N, C, *P) or (N, *P, C) for class numbers, else of the shape of the targets but for axes of size one.
        targets: class numbers (N, *P), whole; or values (N, ...).
        mask: of values, over their first axes: which count.
        values: whether whole numbers may be values too, where they have the output's shape.

    Raises:
        DataError: the shapes do not fit.
    """
    real = targets.is_floating_point() or (values and output.shape[1:].numel() == targets.shape[1:].numel())
    return _values(output, targets, mask) if real else _classes(output, targets)


def whole(targets: "Tensor") -> Counted:
    """A target of another length than its output: all of it, and outputs (N, T, C) with their classes second."""
    return Counted(targets, lambda given: given.movedim(-1, 1) if given.ndim > 2 else given)


def _classes(output: "Tensor", targets: "Tensor") -> Counted:
    _, numbers = scores_first(output, targets)
    keep = numbers != IGNORED
    if bool(keep.all()):
        return Counted(numbers, lambda given: scores_first(given, targets)[0])
    return Counted(numbers[keep], lambda given: scores_first(given, targets)[0].movedim(1, -1)[keep])


def _values(output: "Tensor", targets: "Tensor", mask: "Tensor | None") -> Counted:
    like(output, targets)
    if mask is None:
        return Counted(targets, lambda given: like(given, targets))
    if mask.shape != targets.shape[: mask.ndim]:
        raise DataError(f"a mask {shown(mask.shape)} does not say which positions of targets {shown(targets.shape)} count.")
    return Counted(targets[mask], lambda given: like(given, targets)[mask])
