"""What one call of a network has to do, whatever runs it: multiply-accumulates, weights, and what its layers read and write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifacts.json import JsonObject, read
from artifacts.types import Arrays
from benchmarks.roofline.liveness import Step, most_alive

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch._ops import OpOverload

BYTES = {
    "fp32": (4.0, 4.0), "int8": (1.0, 1.0), "int8-dynamic": (1.0, 4.0), "int8-weights": (1.0, 4.0), "int4-weights": (0.5, 4.0),
    "fp16": (2.0, 2.0), "bf16": (2.0, 2.0),
}  # fmt: skip
"""Bytes of a weight and of an activation, by the scheme of the file."""

COMPUTED = {"fp32": "fp32", "int8": "int8", "int8-dynamic": "int8", "int8-weights": "fp32", "int4-weights": "fp32"}
"""The precision that layers multiply in; of the others no peak is measured."""


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
    """Operators that multiply with a weight but that the counter does not know: the counts are then too low."""

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


def work_of(module: "nn.Module", example: Arrays) -> Work:
    """Count one example's call of a torch module; layers are the operators that PyTorch's own counter counts."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves
    from torch.utils.flop_counter import flop_registry

    from compress.control_flow import unrolled
    from compress.counting import macs
    from zoo.calling import arguments

    aten = torch.ops.aten
    kept = (aten.embedding, aten.clone, aten._to_copy)
    # PyTorch tags neither as element by element; a batch norm is one once it does not train
    by_element = (aten.native_batch_norm, aten._native_batch_norm_legit_no_training, aten.hardswish)
    stored = {_place(t) for t in (*module.parameters(), *module.buffers())}
    weights: dict[int, int] = {}
    moved, uncounted, memory = 0, set[str](), _Memory(stored)

    class Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self,
            func: "OpOverload[..., object]",
            types: Sequence[type],
            args: tuple[object, ...] = (),
            kwargs: Mapping[str, object] | None = None,
        ) -> object:
            nonlocal moved
            made = func(*args, **(kwargs or {}))
            taken, given = (tensors(v) for v in ((args, kwargs), made))
            memory.ran(taken, given, torch.Tag.pointwise in func.tags or func.overloadpacket in by_element)
            if func.overloadpacket not in flop_registry:
                matrices = [t for t in taken if t.ndim > 1 and _place(t) in stored]
                if matrices and func.overloadpacket not in kept and not any(_place(t) in stored for t in given):
                    uncounted.add(str(func.overloadpacket))
                return made
            for tensor in (*taken, *given):
                if _place(tensor) in stored:
                    weights[_place(tensor)] = max(weights.get(_place(tensor), 0), tensor.numel())
                else:
                    moved += tensor.numel()
            return made

    def tensors(value: object) -> list[torch.Tensor]:
        return [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]

    module.eval()
    inputs = list(arguments(module, {name: a[:1] for name, a in example.items()}))
    with torch.no_grad(), Traffic(), unrolled():  # type: ignore[no-untyped-call]
        made = module(*inputs)
    alive = memory.most_alive(inputs, tensors(made))
    return Work(macs(module, example), sum(weights.values()), moved, alive, tuple(sorted(uncounted)))


class _Memory:
    """The memory that a module's operators touch, but for its parameters and buffers; kept, so that no two share a place."""

    def __init__(self, stored: set[int]) -> None:
        self._stored = stored
        self._kept: list[Tensor] = []
        self._sizes: dict[int, int] = {}
        self._steps: list[Step] = []

    def ran(self, taken: list["Tensor"], given: list["Tensor"], in_place: bool) -> None:
        """An operator ran."""
        self._steps.append(Step(self._pieces(taken), self._pieces(given), in_place))

    def most_alive(self, inputs: list["Tensor"], results: list["Tensor"]) -> int:
        """Numbers that are needed at once, at most."""
        return most_alive(self._sizes, self._steps, self._pieces(inputs), self._pieces(results))

    def _pieces(self, tensors: list["Tensor"]) -> frozenset[int]:
        self._kept += tensors
        found = {_place(t): t.untyped_storage().nbytes() // t.element_size() for t in tensors if _place(t) not in self._stored}
        self._sizes.update({place: size for place, size in found.items() if place})
        return frozenset(place for place in found if place)


def _place(tensor: "Tensor") -> int:
    """Where a tensor's numbers lie; views of one tensor share it."""
    return int(tensor.untyped_storage().data_ptr())
