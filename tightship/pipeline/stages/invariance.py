"""Whether the answer for one example depends on the others in its call, or on what lies where its mask says nothing."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from artifacts.records.invariance import InvarianceRecord
from artifacts.types import Array, Arrays
from benchmarks.parity.parity import Case, errors

NOTED = 1e-3
"""Difference between calls, in spreads, above which a note says so: rounding is far below."""


def invariance(
    cases: Sequence[Case], inputs: Arrays, masks: Mapping[str, str], run: Callable[[Arrays], Arrays]
) -> InvarianceRecord:
    """Compare what a file made of the same examples in different company.

    Args:
        cases: of them those that are called `real, batch N`, of the same examples.
        inputs: some examples, (N, T, ...) where they have a mask.
        masks: input -> the input that says which of its positions count, (N, T).
        run: runs the file on examples.
    """
    return InvarianceRecord(_batch(cases), _padding(inputs, masks, run) if masks else None)


def notes_of(record: InvarianceRecord) -> tuple[str, ...]:
    """What a reader should be told."""
    if record.batch is None or record.batch < NOTED:
        return ()
    return (f"the answer for one example depends on the others in its call: by {record.batch:.2g} of its spread",)


def _batch(cases: Sequence[Case]) -> float | None:
    calls = [case.deployed for case in cases if case.name.startswith("real, batch ")]
    if len(calls) < 2:
        return None
    return max(_apart(calls[0], other) for other in calls[1:])


def _apart(one: Arrays, other: Arrays) -> float:
    same = [name for name, value in one.items() if name in other and other[name].shape == value.shape]
    return max((errors(one[name], other[name])[1] for name in same), default=0.0)


def _padding(inputs: Arrays, masks: Mapping[str, str], run: Callable[[Arrays], Arrays]) -> float:
    filled = {name: _filled(value, inputs[masks[name]]) if name in masks else value for name, value in inputs.items()}
    mask = np.asarray(inputs[next(iter(masks.values()))], np.bool_)
    plain, other = ({name: _counted(value, mask) for name, value in run(given).items()} for given in (inputs, filled))
    return _apart(plain, other)


def _filled(value: Array, mask: Array) -> Array:
    """The input with values of another example where its own do not count."""
    keep = np.asarray(mask, np.bool_).reshape(mask.shape + (1,) * (value.ndim - mask.ndim))
    # an example's own first value is one that the network may meet at any position
    return np.where(keep, value, np.broadcast_to(np.roll(value, 1, axis=0)[:, :1], value.shape)).astype(value.dtype)


def _counted(output: Array, mask: Array) -> Array:
    """An output at the positions that count; one that has no positions as it is."""
    return output[mask] if output.shape[: mask.ndim] == mask.shape else output
