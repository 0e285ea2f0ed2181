"""Run a network on one example and see every operator that runs, with what it multiplies."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from artifacts.types import Arrays
from compress.control_flow import unrolled
from compress.macs.formulas import FORMULAS, Product
from compress.macs.light import may_multiply, name_of
from zoo.calling import arguments, call_order, call_with

if TYPE_CHECKING:
    from torch._ops import HigherOrderOperator, OpOverload

    Operator = OpOverload[..., object] | HigherOrderOperator


@dataclass(frozen=True)
class Ran:
    """One operator that ran."""

    name: str
    """Such as `aten.addmm`."""
    taken: tuple[Tensor, ...]
    given: tuple[Tensor, ...]
    product: Product | None
    """What it multiplied; none: nothing that counts, or nobody knows."""
    unknown: bool
    """Whether it may multiply and nobody knows how much."""
    pointwise: bool
    """Whether it goes element by element."""


See = Callable[[Ran], None]


def watch(module: nn.Module, example: Arrays, *see: See) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Run the first example in eval mode; the module's mode is restored.

    PyTorch's fused encoder layers are switched off meanwhile. Of branches and loops on data the path is run that the
    example takes.

    Args:
        module: the network.
        example: of its inputs, (N, ...) by name.
        see: told of every operator, in the order in which they run.

    Returns: the inputs that it was given, and its results.

    Raises:
        ModelError: see `zoo.calling.call_order`.
    """
    names = call_order(module, tuple(example))
    inputs = arguments(module, {name: array[:1] for name, array in example.items()})
    modes = [(part, part.training) for part in module.modules() if hasattr(part, "training")]  # a frozen script has none
    with suppress(NotImplementedError):  # an exported program, which has one mode
        module.eval()
    try:
        with watched(*see):
            made = call_with(module, names, inputs)
    finally:
        for part, training in modes:
            part.training = training
    return inputs, _tensors(made)


@contextmanager
def watched(*see: See) -> Iterator[None]:
    """See what runs inside; see `watch`."""
    with torch.no_grad(), _unfused(), _Watch(see), unrolled():
        yield


class Tally:
    """What is multiplied in all; to be handed to `watch`."""

    def __init__(self) -> None:
        self.macs = 0
        self._unknown = set[str]()

    def __call__(self, ran: Ran) -> None:
        """Add one operator."""
        if ran.product is not None:
            self.macs += ran.product.macs
        elif ran.unknown:
            self._unknown.add(ran.name)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """The operators that may multiply and that nobody knows: `macs` is then too low."""
        return tuple(sorted(self._unknown))


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    supports_higher_order_operators = True

    def __init__(self, see: Sequence[See]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._see = see

    def __torch_dispatch__(
        self,
        func: "Operator",
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        made = func(*args, **(kwargs or {}))
        taken, given = _tensors((args, kwargs)), _tensors(made)
        product = _product(func, args, kwargs or {}, made, taken)
        unknown = product is None and bool(taken) and bool(given) and _unknown(func)
        pointwise = torch.Tag.pointwise in getattr(func, "tags", ())
        ran = Ran(name_of(func), taken, given, product, unknown, pointwise)
        for see in self._see:
            see(ran)
        return made


def _product(
    func: "Operator", args: tuple[object, ...], kwargs: Mapping[str, object], made: object, taken: tuple[Tensor, ...]
) -> Product | None:
    formula = FORMULAS.get(name_of(func))
    packet = getattr(func, "overloadpacket", func)
    try:
        if formula is not None:
            return formula(*args, made=made)
        if packet in flop_registry:
            flops = int(flop_registry[packet](*args, **kwargs, out_val=made))
            return Product(flops // 2, tuple(tensor for tensor in taken if tensor.ndim > 1))
    except Exception:  # tensors without plain shapes, such as nested ones: nobody knows then
        return None
    return None


def _unknown(func: "Operator") -> bool:
    known = name_of(func) in FORMULAS or getattr(func, "overloadpacket", func) in flop_registry
    return known or may_multiply(func)


def _tensors(value: object) -> tuple[Tensor, ...]:
    return tuple(leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor))


@contextmanager
def _unfused() -> Iterator[None]:
    """Without the one operator that a whole encoder layer becomes in eval mode."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
