"""How many numbers lie between a network's layers at once: what its activations need, whatever plans the memory."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One operator that ran, and the memory that it touched; each piece of memory has a number."""

    reads: frozenset[int]
    writes: frozenset[int]
    in_place: bool
    """Whether its result may lie where one of its inputs was, if nothing needs that any more: element by element."""


def most_alive(sizes: Mapping[int, int], steps: Sequence[Step], given: Collection[int], returned: Collection[int]) -> int:
    """The largest sum of sizes that are needed at one time, in the order of the steps.

    A piece of memory is needed from the step that writes it (an input: from the start) to the last that reads it (a
    result: to the end). What nothing reads, such as the places of a pooling's maxima, is not counted.

    Args:
        sizes: of each piece of memory.
        steps: in the order in which they ran.
        given: the memory of the inputs.
        returned: the memory of the results.

    >>> conv, relu = Step(frozenset({0}), frozenset({1}), False), Step(frozenset({1}), frozenset({2}), True)
    >>> most_alive({0: 3, 1: 8, 2: 8}, [conv, relu], given=[0], returned=[2])
    11
    """
    born, last = dict.fromkeys(given, -1), dict.fromkeys(given, -1)
    for at, step in enumerate(steps):
        for piece in step.writes:
            born.setdefault(piece, at)
        last.update(dict.fromkeys(step.reads & born.keys(), at))
    last.update(dict.fromkeys(returned, len(steps)))
    needed = [piece for piece in born if piece in last]
    most = sum(sizes[piece] for piece in given)
    for at, step in enumerate(steps):
        alive = sum(sizes[piece] for piece in needed if born[piece] <= at <= last[piece])
        most = max(most, alive - _reused(sizes, step, [p for p in step.reads if last.get(p) == at], born, at))
    return most


def _reused(sizes: Mapping[int, int], step: Step, free: Sequence[int], born: Mapping[int, int], at: int) -> int:
    """The size of the step's result, where it may take the place of an input that is free after it."""
    made = [piece for piece in step.writes if born[piece] == at]
    if not step.in_place or len(made) != 1 or not any(sizes[piece] >= sizes[made[0]] for piece in free):
        return 0
    return sizes[made[0]]
