"""What a metric says of itself, so that nothing else asks for one by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from artifacts.errors import DataError
from artifacts.records.measured import SHARE, Direction, lost
from artifacts.types import Array, Arrays
from zoo.pairing import classes_of, shown, values_of

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
    targets: Literal["classes", "values", "any"] = "values"
    """`classes`: targets are whole numbers (N, *P), and an answer is the place of the first output's largest value along its
    axis of classes; then parity holds these places against each other too, and calls can be timed to the label.
    `values`: whole numbers are taken for values too, and are trained for as such. `any`: targets are left as they are."""
    alike: bool = False
    """Whether the first output has the shape of the targets, which is then held before any work."""
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
        if self.classifies and not np.issubdtype(targets.dtype, np.integer):
            raise DataError(
                f"metric {self.name!r} needs class numbers (N, ...) as targets, and the data's are {targets.dtype} "
                f"{shown(targets.shape)}; set the data's `metric` to one of values, such as mse."
            )

    def hold(self, shape: Sequence[int], targets: Array) -> None:
        """Hold the shape of the first output, (N, ...), against targets before there are outputs.

        Raises:
            DataError: they do not fit each other, or a class number is beyond the output.
        """
        output = np.broadcast_to(np.float32(0), (len(targets), *shape[1:]))
        if self.classifies:
            classes_of(output, targets)
        elif self.alike:
            values_of(output, targets)

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
