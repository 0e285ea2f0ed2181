"""Control flow on data (torch.cond, while_loop, scan) under a counter of operators: the path that the example takes, in full.

Counters are dispatch modes (https://docs.pytorch.org/docs/stable/notes/extending.html#extending-torch-with-modes), which see a
branch or a loop as one operator. PyTorch's own counter knows torch.cond only, and takes the costlier side of it.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch._ops import HigherOrderOperator, OpOverload
from torch.utils._python_dispatch import TorchDispatchMode


@contextmanager
def unrolled() -> Iterator[None]:
    """Run branches and loops step by step, so that a counter around this sees what is in them.

    What PyTorch compiled of them meanwhile would fail without the counter, so it is forgotten afterwards.
    """
    mode = _Unrolled()  # type: ignore[no-untyped-call]
    try:
        with mode:
            yield
    finally:
        if mode.met and "torch._dynamo" in sys.modules:
            torch.compiler.reset()


class _Unrolled(TorchDispatchMode):  # type: ignore[no-untyped-call]
    supports_higher_order_operators = True
    met = False
    """Whether there was a branch or a loop."""
    _depth = 0

    def __torch_dispatch__(
        self,
        func: "OpOverload[..., object] | HigherOrderOperator",
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        run = _FLOW.get(func.name()) if isinstance(func, HigherOrderOperator) else None  # type: ignore[no-untyped-call]
        if run is not None:
            self.met = True
            self._depth += 1
            try:
                with self:  # what is inside may branch again
                    return run(*args, **kwargs)
            finally:
                self._depth -= 1
        if self._depth and isinstance(
            func, OpOverload
        ):  # outside, what is made of other operators comes in parts; in here it does not
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        return func(*args, **kwargs)


Branch = Callable[..., object]
Step = Callable[..., Sequence[Tensor]]


def _cond(predicate: Tensor | bool, true: Branch, false: Branch, operands: Sequence[Tensor]) -> object:
    return true(*operands) if predicate else false(*operands)


def _while_loop(
    more: Callable[..., Tensor], body: Step, carried: Sequence[Tensor], further: Sequence[Tensor] = ()
) -> tuple[Tensor, ...]:
    while more(*carried, *further):
        carried = body(*carried, *further)
    return tuple(carried)


def _scan(combine: Step, state: Sequence[Tensor], over: Sequence[Tensor], further: Sequence[Tensor] = ()) -> list[Tensor]:
    state, rows = list(state), []
    for at in range(len(over[0])):
        made = combine(*state, *(x[at] for x in over), *further)
        state, row = list(made[: len(state)]), made[len(state) :]
        rows.append(row)
    return [*state, *(torch.stack(column) for column in zip(*rows, strict=True))]


_FLOW: dict[str, Callable[..., object]] = {"cond": _cond, "while_loop": _while_loop, "scan": _scan}
