"""What a metric says of itself, so that nothing else asks for one by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from artifacts.errors import DataError
from artifacts.records.measured import SHARE, Direction, lost
from artifacts.types import Array, Arrays

API = 1
"""The version of this interface; a record of another one is refused."""

__all__ = ["API", "SHARE", "Metric", "first"]


@dataclass(frozen=True)
class Metric:
    """How well a network's outputs agree with the targets, as one number over a whole split."""

    name: str
    compute: Callable[[Arrays, Array], float]
    """(outputs (N, ...) by name in the network's order, targets (N, ...)) -> the value."""
    direction: Direction = "larger"
    """Whether larger or smaller values are better."""
    unit: str = ""
    """`share`: of 0..1, shown in percent and compared in points; else what stands after the number, or nothing."""
    targets: Literal["classes", "values"] = "values"
    """`classes`: targets are whole numbers (N,), and an example's answer is the place of the first output's largest value;
    then parity holds these places against each other too, and calls can be timed to the label."""
    outputs: int = 1
    """How many of the network's outputs it reads, from the first."""
    per_example: Callable[[Arrays, Array], Array] | None = None
    """(N,): what each example gave; booleans where it is right or wrong, which McNemar's test compares."""
    api: int = API

    @property
    def classifies(self) -> bool:
        """Whether an example's answer is the place of the first output's largest value."""
        return self.targets == "classes"

    def score(self, outputs: Arrays, targets: Array) -> float:
        """The metric over a whole split.

        Raises:
            DataError: an output is missing or no number, or the targets are of another kind.
        """
        self.check(targets)
        if len(outputs) < self.outputs:
            raise DataError(f"metric {self.name!r} reads {self.outputs} outputs, and the network has {len(outputs)}.")
        for values in list(outputs.values())[: self.outputs]:
            if not np.isfinite(values).all():
                count = int((~np.isfinite(values)).sum())
                raise DataError(f"{count} outputs are NaN or infinite; the accuracy is undefined.")
        value = float(self.compute(outputs, targets))
        if not np.isfinite(value):
            raise DataError(f"metric {self.name!r} is {value} over {len(targets):,} examples, though every output is a number.")
        return value

    def check(self, targets: Array) -> None:
        """Refuse targets that the metric has no use for.

        Raises:
            DataError: they are of another kind.
        """
        if self.classifies and not (targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer)):
            shape = ", ".join(("N", *map(str, targets.shape[1:])))
            raise DataError(
                f"metric {self.name!r} needs class numbers (N,) as targets, and the data's are {targets.dtype} ({shape}); "
                "set the data's `metric` to one of values, such as mse."
            )

    def correct(self, outputs: Arrays, targets: Array) -> Array | None:
        """Whether each example is right, (N,) booleans; none where examples are neither right nor wrong."""
        found = self.per_example(outputs, targets) if self.per_example else None
        return found if found is not None and found.dtype == np.bool_ else None

    def lost(self, value: float, reference: float) -> float:
        """How much worse a value is than a reference; negative is a gain."""
        return lost(value, reference, self.direction)


def first(outputs: Arrays) -> Array:
    """The first output, (N, ...)."""
    return next(iter(outputs.values()))
