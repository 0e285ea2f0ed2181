"""What goes in and what comes out: every tensor by name, with dtype and symbolic dimensions."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from artifacts.errors import RequestError
from artifacts.json import JsonObject, read

Dimension = int | str
"""A fixed size, or the name of a dynamic dimension such as `batch`."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model."""

    name: str
    dtype: str
    """A NumPy dtype name such as `float32`."""
    shape: tuple[Dimension, ...]
    batch_axis: int | None = field(default=0, repr=False)
    """The axis along which the examples lie; none of an output that is the same for any number of them."""

    def concrete(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape with each dynamic dimension replaced by its size.

        >>> TensorSpec("x", "float32", ("batch", 3)).concrete({"batch": 2})
        (2, 3)
        """
        return tuple(sizes[d] if isinstance(d, str) else d for d in self.shape)


@dataclass(frozen=True)
class DimRange:
    """The sizes that a dynamic dimension may take, as torch.export's `Dim` and TensorRT's optimization profiles name them."""

    name: str
    min: int
    max: int
    opt: int
    """The size that kernels are chosen for."""

    def clamp(self, size: int) -> int:
        """The nearest size that is allowed."""
        return min(max(size, self.min), self.max)


@dataclass(frozen=True)
class Signature:
    """All inputs and outputs of a model, in call order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...] = ()
    ranges: tuple[DimRange, ...] = ()
    """Of the dynamic dimensions that have limits; the others take any size."""

    @property
    def dynamic(self) -> tuple[str, ...]:
        """The names of the dynamic dimensions, in order of first use."""
        names = [d for spec in self.inputs for d in spec.shape if isinstance(d, str)]
        return tuple(dict.fromkeys(names))

    def range_of(self, dimension: Dimension) -> DimRange | None:
        """The limits of a dimension, if it has any."""
        return next((r for r in self.ranges if r.name == dimension), None)

    def sizes(self, batch: int) -> dict[str, int]:
        """A size for each dynamic dimension: `batch` for the first, and for others without a range; `opt` for the rest.

        The first is brought into its range.

        >>> spec = TensorSpec("x", "float32", ("batch", "length"))
        >>> Signature((spec,), (), (DimRange("batch", 1, 8, 4), DimRange("length", 4, 32, 16))).sizes(64)
        {'batch': 8, 'length': 16}
        """
        made = {}
        for at, name in enumerate(self.dynamic):
            limits = self.range_of(name)
            made[name] = batch if limits is None else limits.clamp(batch) if at == 0 else limits.opt
        return made

    def most(self, batch: int) -> int:
        """The largest size up to `batch` that the first dynamic dimension takes; 1 if all sizes are fixed."""
        return next(iter(self.sizes(batch).values()), 1)

    def refuse_outside(self, shapes: Mapping[str, tuple[int, ...]], whose: str) -> None:
        """Hold the shapes of inputs, by name, against the ranges.

        Raises:
            RequestError: a size lies outside; the message names `whose` inputs these are, the size and the range.
        """
        for spec in self.inputs:
            for axis, (dimension, size) in enumerate(zip(spec.shape, shapes.get(spec.name, ()), strict=False)):
                limits = self.range_of(dimension)
                if limits and not limits.min <= size <= limits.max:
                    raise RequestError(
                        f"{whose}: {limits.name!r} (axis {axis} of input {spec.name!r}) is {size}, outside the range "
                        f"{limits.min} to {limits.max} that it was exported for; stay inside, or widen the range in the recipe."
                    )

    @classmethod
    def from_json(cls, value: JsonObject) -> "Signature":
        """Read what `dataclasses.asdict` wrote, by this version or by one without ranges."""
        return read(cls, value)
