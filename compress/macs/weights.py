"""The weights that a network multiplies with, found as it runs."""

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

from torch import Tensor, nn, strided

if TYPE_CHECKING:
    from compress.macs.watching import Ran


def place(tensor: Tensor) -> int:
    """Where a tensor's numbers lie; views of one tensor share it. 0: it has none of its own."""
    return int(tensor.untyped_storage().data_ptr()) if tensor.layout is strided and not tensor.is_nested else 0


class Stored:
    """What a network holds, found again by the memory in which an operator's arguments lie."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._at: dict[int, list[Tensor]] = {}
        for tensor in tensors:
            if place(tensor):
                self._at.setdefault(place(tensor), []).append(tensor)

    def __contains__(self, tensor: Tensor) -> bool:
        return place(tensor) in self._at

    def within(self, tensor: Tensor) -> list[Tensor]:
        """What is held where this tensor, which may be a view, lies."""
        if tensor not in self:
            return []
        first, last = _span(tensor)
        return [held for held in self._at[place(tensor)] if _span(held)[0] <= last and first <= _span(held)[1]]


class Weights:
    """The parameters that are multiplied, or what is made of nothing but them before: in another type, masked, normalized.

    A weight that several layers or calls share is there once. To be handed to `watch`.
    """

    def __init__(self, module: nn.Module) -> None:
        self._parameters, self._buffers = Stored(module.parameters()), Stored(module.buffers())
        # made of parameters and constants alone: kept, so that nothing else comes to lie in their place
        self._made: dict[int, tuple[Tensor, frozenset[int]]] = {}
        self._used: dict[Hashable, Tensor] = {}

    def __call__(self, ran: "Ran") -> None:
        """Add one operator."""
        if ran.product is not None:
            self._multiplied(ran.product.operands)
        self._followed(ran)

    def _multiplied(self, operands: Iterable[Tensor]) -> None:
        for operand in operands:
            if operand in self._parameters:
                self._used.update((id(held), held) for held in self._parameters.within(operand))
            elif origin := self._made.get(place(operand), (None, frozenset()))[1]:
                self._used.setdefault((origin, operand.storage_offset(), operand.shape), operand)

    def _followed(self, ran: "Ran") -> None:
        """Remember what is made of parameters and constants alone; what a product gives is no weight any more."""
        origins = [self._origin(tensor) for tensor in ran.taken]
        known = None if ran.product or None in origins else frozenset[int]().union(*(o for o in origins if o))
        for tensor in ran.given:
            if tensor in self._parameters or tensor in self._buffers or not place(tensor):
                continue
            if known is None:
                self._made.pop(place(tensor), None)
            else:
                self._made[place(tensor)] = (tensor, known)

    def sparsity(self) -> float:
        """The share of zeros."""
        total = sum(weight.numel() for weight in self._used.values())
        return sum(int((weight == 0).sum()) for weight in self._used.values()) / total if total else 0.0

    def _origin(self, tensor: Tensor) -> frozenset[int] | None:
        """The parameters that it is made of; none: of the inputs, too."""
        if tensor in self._parameters:
            return frozenset(id(held) for held in self._parameters.within(tensor))
        if tensor in self._buffers:
            return frozenset()
        found = self._made.get(place(tensor))
        return found[1] if found else None


def _span(tensor: Tensor) -> tuple[int, int]:
    """The first and the last place in its memory."""
    first = int(tensor.storage_offset())
    return first, first + sum(int((size - 1) * step) for size, step in zip(tensor.shape, tensor.stride(), strict=True))
