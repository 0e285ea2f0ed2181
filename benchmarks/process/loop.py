"""A network called in a loop: each step is fed what the step before gave."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from artifacts.errors import ModelError, nearest
from artifacts.types import Array, Arrays

LEAST_LOOPS = 4

Next = Callable[[Arrays, Arrays, int], Mapping[str, object]]
"""(inputs, outputs, number of the step) -> the inputs of the next step that change, by name."""


@dataclass(frozen=True)
class Loop:
    """What is fed back."""

    steps: int
    feed: Mapping[str, str] = field(default_factory=dict)
    """Input -> the output that it is fed."""
    next: str | None = None
    """`module:callable` of the user's that makes inputs of outputs; see `Next`."""

    def function(self) -> Next | None:
        """The user's callable, if there is one.

        Raises:
            RequestError: it cannot be found.
        """
        from zoo.factories import resolve

        return cast(Next, resolve(self.next, "loop")) if self.next else None


@dataclass(frozen=True)
class Unrolled:
    """One loop."""

    outputs: list[Array]
    """What the watched output was at each step."""
    seconds: float


def unroll(run: Callable[[Arrays], Arrays], first: Arrays, loop: Loop, watched: str, following: Next | None) -> Unrolled:
    """Run a loop from its first inputs; the clock runs over calls and feeding alike.

    Raises:
        ModelError: what is fed does not exist, or is of another shape than the input.
    """
    inputs, kept = dict(first), []
    begun = time.perf_counter()
    for step in range(loop.steps):
        outputs = run(inputs)
        if watched not in outputs:
            raise ModelError(f"the loop watches output {watched!r}, which there is not; {nearest(watched, outputs)}.")
        kept.append(np.array(outputs[watched]))
        if step + 1 < loop.steps:
            inputs = _fed(inputs, outputs, loop, following, step)
    return Unrolled(kept, time.perf_counter() - begun)


def repeat(
    first: Arrays, run: Callable[[Arrays], Arrays], loop: Loop, watched: str, seconds: float
) -> tuple[list[float], Array]:
    """Run loops until `seconds` are over, at least three after one that is not counted.

    Returns:
        The seconds of each that counts, and what the last one's watched output was at each step, (steps, ...).
    """
    following, found = loop.function(), list[Unrolled]()
    limit = time.perf_counter() + seconds
    while len(found) < LEAST_LOOPS or time.perf_counter() < limit:
        found.append(unroll(run, first, loop, watched, following))
    return [one.seconds for one in found[1:]], np.stack(found[-1].outputs)


def _fed(inputs: Arrays, outputs: Arrays, loop: Loop, following: Next | None, step: int) -> Arrays:
    made: dict[str, object] = {}
    for name, output in loop.feed.items():
        if output not in outputs:
            raise ModelError(f"the loop feeds {name!r} the output {output!r}, which there is not; {nearest(output, outputs)}.")
        made[name] = outputs[output]
    if following:
        made |= following(dict(inputs), dict(outputs), step)
    return {**inputs, **{name: _like(name, value, inputs, step) for name, value in made.items()}}


def _like(name: str, value: object, inputs: Arrays, step: int) -> Array:
    """What is fed, as the input takes it."""
    if name not in inputs:
        raise ModelError(f"the loop feeds an input {name!r} that the network does not take; {nearest(name, inputs)}.")
    array, wanted = np.asarray(value), inputs[name]
    if array.shape != wanted.shape:
        raise ModelError(f"the loop feeds {name!r} {array.shape} after step {step + 1}, and it takes {wanted.shape}.")
    return np.ascontiguousarray(array, wanted.dtype)
