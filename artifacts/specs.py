"""What goes in and what comes out: every tensor by name, with dtype and symbolic dimensions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Dimension = int | str
"""A fixed size, or the name of a dynamic dimension such as `batch`."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model."""

    name: str
    dtype: str
    """A NumPy dtype name such as `float32`."""
    shape: tuple[Dimension, ...]

    def concrete(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape with each dynamic dimension replaced by its size.

        >>> TensorSpec("x", "float32", ("batch", 3)).concrete({"batch": 2})
        (2, 3)
        """
        return tuple(sizes[d] if isinstance(d, str) else d for d in self.shape)


@dataclass(frozen=True)
class Signature:
    """All inputs and outputs of a model, in call order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...] = ()

    @property
    def dynamic(self) -> tuple[str, ...]:
        """The names of the dynamic dimensions, in order of first use."""
        names = [d for spec in self.inputs for d in spec.shape if isinstance(d, str)]
        return tuple(dict.fromkeys(names))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Signature":
        """Read what `dataclasses.asdict` wrote."""
        return cls(
            tuple(TensorSpec(s["name"], s["dtype"], tuple(s["shape"])) for s in value["inputs"]),
            tuple(TensorSpec(s["name"], s["dtype"], tuple(s["shape"])) for s in value["outputs"]),
        )
