"""What a metric says of itself, so that nothing else asks for one by name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from artifacts.errors import DataError, nearest
from artifacts.records.measured import SHARE, Direction, lost
from artifacts.types import Array, Arrays
from zoo.named_targets import MASK, fields, mask_of, together
from zoo.pairing import axis_of_classes, classes_of, counted_values, shown, values_of

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
    of: str | None = None
    """The output that it scores; none: the first, or of targets by name the first output that has a target."""
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
        outputs, targets = self._counted(*self.own(outputs, targets))
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

    def own(self, outputs: Arrays, targets: Array) -> tuple[Arrays, Array]:
        """The outputs from the one that is scored, and its target; of targets by name with `NAME_mask`, where there is one.

        Raises:
            DataError: there is no such output, or it has no target.
        """
        if self.whole:
            return outputs, targets
        name = self.scored(outputs, targets)
        chosen = {name: outputs[name], **{other: value for other, value in outputs.items() if other != name}}
        return chosen if self.of is None else {name: outputs[name]}, _of(targets, name)

    @property
    def whole(self) -> bool:
        """Whether it is given all outputs and all targets."""
        return self.targets == "any" and self.of is None

    def scored(self, outputs: Iterable[str], targets: Array) -> str:
        """The name of the output that it scores, of those of a network.

        Raises:
            DataError: see `own`.
        """
        given, named = tuple(outputs), targets.dtype.names
        if self.of is not None and self.of not in given:
            raise DataError(f"metric {self.name!r} scores an output that the network does not have; {nearest(self.of, given)}.")
        found = [name for name in ((self.of,) if self.of else given) if named is None or name in named]
        if not found:
            asked = f"output {self.of!r}" if self.of else f"of the outputs {', '.join(given)} none"
            raise DataError(f"{asked} has a target: the data's are {', '.join(named or ())}; call them as the outputs.")
        return found[0]

    def _counted(self, outputs: Arrays, targets: Array) -> tuple[Arrays, Array]:
        """Values at the positions that count alone; everything where there is no mask."""
        if self.whole or targets.dtype.names is None:
            return outputs, targets
        named, (name, output) = fields(targets), next(iter(outputs.items()))
        found, wanted = counted_values(output, named[name], mask_of(named, name))
        return {name: found}, wanted

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

    def hold(self, shapes: Mapping[str, Sequence[int]], targets: Array) -> None:
        """Hold the shapes of outputs, each (N, ...), against targets before there are outputs.

        Raises:
            DataError: they do not fit each other, or a class number is beyond the output.
        """
        made: Arrays = {name: np.broadcast_to(np.float32(0), (len(targets), *shape[1:])) for name, shape in shapes.items()}
        outputs, targets = self._counted(*self.own(made, targets))
        output = first(outputs)
        self.check(targets)
        if self.classifies:
            classes_of(output, targets)
        elif self.alike:
            values_of(output, targets)

    def correct(self, outputs: Arrays, targets: Array) -> Array | None:
        """Whether each example is right, (N,) booleans; none where examples are neither right nor wrong."""
        outputs, targets = self.own(outputs, targets)
        masked = targets.dtype.names is not None and not self.whole
        found = self.per_example(outputs, targets) if self.per_example and not masked else None
        return found if found is not None and found.dtype == np.bool_ else None

    def classes_at(self, outputs: Arrays, targets: Array) -> tuple[str, int] | None:
        """The output whose largest values are answers, and the axis along which they lie; none without classes.

        Raises:
            DataError: outputs and targets do not fit each other.
        """
        if not self.classifies:
            return None
        outputs, targets = self.own(outputs, targets)
        name, output = next(iter(outputs.items()))
        return name, axis_of_classes(output, targets)

    def lost(self, value: float, reference: float) -> float:
        """How much worse a value is than a reference; negative is a gain."""
        return lost(value, reference, self.direction)


def _of(targets: Array, name: str) -> Array:
    """The target of this name; with its mask, where there is one, still by name."""
    if targets.dtype.names is None:
        return targets
    named = fields(targets)
    mask = mask_of(named, name)
    return named[name] if mask is None else together({name: named[name], f"{name}{MASK}": mask})


def first(outputs: Arrays) -> Array:
    """The first output, (N, ...)."""
    return next(iter(outputs.values()))
