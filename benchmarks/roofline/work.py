"""What one call of a network has to do, whatever runs it: multiply-accumulates, weights, and what its layers read and write."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifacts.json import JsonObject, read
from artifacts.types import Arrays
from benchmarks.roofline.liveness import Step, most_alive

if TYPE_CHECKING:
    from torch import Tensor, nn

    from compress.macs.watching import Ran, See
    from compress.macs.weights import Stored

BYTES = {
    "fp32": (4.0, 4.0), "int8": (1.0, 1.0), "int8-dynamic": (1.0, 4.0), "int8-weights": (1.0, 4.0), "int4-weights": (0.5, 4.0),
    "fp16": (2.0, 2.0), "bf16": (2.0, 2.0),
}  # fmt: skip
"""Bytes of a weight and of an activation, by the scheme of the file."""

COMPUTED = {"fp32": "fp32", "int8": "int8", "int8-dynamic": "int8", "int8-weights": "fp32", "int4-weights": "fp32"}
"""The precision that layers multiply in; of the others no peak is measured."""

BY_ELEMENT = ("aten.native_batch_norm", "aten._native_batch_norm_legit_no_training", "aten.hardswish")
"""Operators that go element by element, though PyTorch does not tag them so; a batch norm is one once it does not train."""


@dataclass(frozen=True)
class Work:
    """Counts of one call on one example."""

    macs: int
    weights: int
    """Numbers that the layers multiply with or add, those that layers share counted once."""
    activations: int
    """Numbers that the layers read and write; what lies between two layers costs nothing more if it is fused into them."""
    alive: int
    """Numbers that lie between the layers at once, at most, inputs and results among them: see `liveness.py`."""
    uncounted: tuple[str, ...] = ()
    """Operators that may multiply and that the counter does not know: the counts are then too low."""

    def bytes(self, scheme: str | None) -> float | None:
        """What a call moves at least in a file of this scheme (none: fp32); none for a scheme that is not known."""
        sizes = BYTES.get(scheme or "fp32")
        return None if sizes is None else self.weights * sizes[0] + self.activations * sizes[1]

    def alive_bytes(self, scheme: str | None) -> float | None:
        """What activations need at once in a file of this scheme (none: fp32); none for a scheme that is not known."""
        sizes = BYTES.get(scheme or "fp32")
        return None if sizes is None else self.alive * sizes[1]

    @classmethod
    def of(cls, value: JsonObject) -> "Work":
        """Read what `asdict` wrote."""
        return read(cls, value)


def work_of(module: "nn.Module", example: Arrays, *see: "See") -> Work:
    """Count one example's call of a torch module; layers are the operators that multiply.

    Args:
        module: any network; see `compress.macs.watching.watch`.
        example: of its inputs, (N, ...) by name.
        see: told of every operator, in the same call.
    """
    from compress.macs.watching import Tally, watch

    tally, traffic = Tally(), _Traffic(module)
    inputs, outputs = watch(module, example, tally, traffic, *see)
    alive = traffic.memory.most_alive(list(inputs), list(outputs))
    return Work(tally.macs, traffic.weights, traffic.activations, alive, tally.uncounted)


class _Traffic:
    """What goes in and out of the layers, and the memory that all operators touch; to be handed to `watch`."""

    def __init__(self, module: "nn.Module") -> None:
        from compress.macs.weights import Stored

        self._stored = Stored((*module.parameters(), *module.buffers()))
        self.memory = _Memory(self._stored)
        self._weights: dict[int, int] = {}
        self.activations = 0

    def __call__(self, ran: "Ran") -> None:
        """Add one operator."""
        self.memory.ran(ran.taken, ran.given, ran.pointwise or ran.name in BY_ELEMENT)
        for tensor in (*ran.taken, *ran.given) if ran.product else ():
            if tensor in self._stored:
                self._weights.update((id(held), held.numel()) for held in self._stored.within(tensor))
            else:
                self.activations += tensor.numel()

    @property
    def weights(self) -> int:
        """Numbers that layers multiply with or add."""
        return sum(self._weights.values())


class _Memory:
    """The memory that a module's operators touch, but for its parameters and buffers; kept, so that no two share a place."""

    def __init__(self, stored: "Stored") -> None:
        self._stored = stored
        self._kept: list[Tensor] = []
        self._sizes: dict[int, int] = {}
        self._steps: list[Step] = []

    def ran(self, taken: Sequence["Tensor"], given: Sequence["Tensor"], in_place: bool) -> None:
        """An operator ran."""
        self._steps.append(Step(self._pieces(taken), self._pieces(given), in_place))

    def most_alive(self, inputs: Sequence["Tensor"], results: Sequence["Tensor"]) -> int:
        """Numbers that are needed at once, at most."""
        return most_alive(self._sizes, self._steps, self._pieces(inputs), self._pieces(results))

    def _pieces(self, tensors: Sequence["Tensor"]) -> frozenset[int]:
        from compress.macs.weights import place

        self._kept += tensors
        at = {place(t): t for t in tensors if t not in self._stored}
        found = {where: t.untyped_storage().nbytes() // t.element_size() for where, t in at.items() if where}
        self._sizes.update(found)
        return frozenset(found)
