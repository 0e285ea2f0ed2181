"""Whether a converted file computes what the model computes: a gate, not a warning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artifacts.records.evidence import ParityRecord
from artifacts.specs import Signature, TensorSpec
from artifacts.types import Array, Arrays


@dataclass(frozen=True)
class Tolerance:
    """Limits in units of the reference output's own spread (standard deviation over all its values)."""

    max_error: float | None
    rms_error: float
    agreement: float
    """Least share of real examples whose largest output is the same."""

    def __str__(self) -> str:
        largest = "" if self.max_error is None else f"max error <= {self.max_error:g} x spread, "
        return f"{largest}rms error <= {self.rms_error:g} x spread, argmax agreement >= {self.agreement:.1%}"


CONVERSION = Tolerance(1e-3, 2e-4, 0.999)
"""A float file against the float module: rounding order is all that may differ."""

SIMULATED = Tolerance(None, 0.05, 0.98)
"""A QAT file against its fake-quantized module: single roundings may fall the other way."""

AT_ENDS = 7
"""Examples in a call at the end of another dimension's range than the batch's."""

QUANTIZED = Tolerance(None, 0.2, 0.95)
"""A PTQ file against the float module: quantization noise is allowed, another function is not."""


SCHEMES: dict[str, Tolerance] = {
    # measured on a trained ResNet-20, a perceptron, an LSTM, a GRU and a transformer block: rms 0.0002 to 0.0009
    "fp16": Tolerance(0.05, 0.005, 0.995),
    # on the same: rms 0.003 to 0.008, agreement 99.4 % and more
    "bf16": Tolerance(0.3, 0.04, 0.98),
    # float arithmetic on the rounded weights: rms 1e-7
    "int8-weights": CONVERSION,
    "int4-weights": CONVERSION,
}
"""Schemes whose files are closer to their module than int8's are."""


@dataclass(frozen=True)
class Case:
    """One set of inputs, with what the model and the deployed file made of it."""

    name: str
    real: bool
    reference: Arrays
    deployed: Arrays
    inputs: Arrays | None = None
    """What was fed, where that is neither the first real examples nor the made-up ones."""


def at_ends(inputs: Arrays, signature: Signature) -> list[tuple[str, Arrays]]:
    """Real examples brought to the two ends of the range of each dynamic dimension, one dimension at a time.

    An axis is cut, or continued with what it begins with; the batch is so many examples, which begin anew where there are
    too few.

    Args:
        inputs: real examples by input.
        signature: with the ranges; none of them, no ends.

    Returns:
        For each end its name, such as `batch = 64`, and one call's inputs.
    """
    made = []
    for limits in signature.ranges:
        for size in (limits.min, limits.max):
            sizes = {**signature.sizes(AT_ENDS), limits.name: size}
            made.append((f"{limits.name} = {size}", {s.name: _at(inputs[s.name], s, sizes) for s in signature.inputs}))
    return made


def _at(array: Array, spec: TensorSpec, sizes: Mapping[str, int]) -> Array:
    """An input with its dynamic dimensions at these sizes."""
    for axis, dimension in enumerate(spec.shape):
        if isinstance(dimension, str):
            array = np.take(array, np.arange(sizes[dimension]) % array.shape[axis], axis)
    return np.ascontiguousarray(array)


ClassesAt = tuple[str, int]
"""The output that tells classes apart, and along which axis."""


def evaluate(
    cases: Sequence[Case], tolerance: Tolerance, against: str, classes: bool, at: ClassesAt | None = None
) -> ParityRecord:
    """Hold the deployed outputs against the model's, over all cases and outputs.

    Args:
        cases: the inputs that were tried.
        tolerance: the limits.
        against: what the outputs are compared with, in a word.
        classes: whether the places of largest values are compared too.
        at: where these are; by default in the first output, of all its values.
    """
    worst_max = worst_rms = 0.0
    bad: list[str] = []
    by_output: dict[str, float] = {}
    for case in cases:
        for name, expected in case.reference.items():
            found = case.deployed.get(name)
            if found is None or found.shape != expected.shape:
                bad.append(
                    f"{case.name}: output {name!r} has shape {None if found is None else found.shape}, not {expected.shape}"
                )
                continue
            largest, rms = errors(expected, found)
            worst_max, worst_rms = max(worst_max, largest), max(worst_rms, rms)
            by_output[name] = _finite(max(by_output.get(name, 0.0), rms))
            near = tolerance.max_error is None or largest <= tolerance.max_error
            if not (near and rms <= tolerance.rms_error):
                bad.append(f"{case.name}: output {name!r} is off by {largest:.3g} (max) and {rms:.3g} (rms) of its spread")
    agreement = argmax_agreement([case for case in cases if case.real], at) if classes else 1.0
    if not any(case.reference for case in cases):
        bad.append("there is no output to compare")
    if classes and agreement < tolerance.agreement:
        bad.append(f"the largest output agrees on {agreement:.1%} of real examples")
    return ParityRecord(
        not bad,
        against,
        _finite(worst_max),
        _finite(worst_rms),
        agreement if classes else None,
        str(tolerance),
        tuple(c.name for c in cases),
        bad[0] if bad else None,
        rms_by_output=by_output if len(by_output) > 1 else {},
    )


def _finite(value: float) -> float:
    return value if np.isfinite(value) else 1e30


def errors(expected: Array, found: Array) -> tuple[float, float]:
    """Largest and root-mean-square difference, divided by the spread of `expected`; infinite where either is not a number."""
    if not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return float("inf"), float("inf")
    spread = float(np.std(expected.astype(np.float64))) or 1.0
    difference = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    return float(difference.max(initial=0.0)) / spread, float(np.sqrt(np.mean(difference**2))) / spread


def argmax_agreement(cases: Sequence[Case], at: ClassesAt | None = None) -> float:
    """Share of the examples (and positions) of all cases together whose largest value is at the same place; 1 of none.

    Together, because one tie that falls the other way is 5 % of a case of 21 examples.
    """
    same = [same_largest(case, at) for case in cases if case.reference]
    return float(np.concatenate(same).mean()) if same else 1.0


def same_largest(case: Case, at: ClassesAt | None = None) -> NDArray[np.bool_]:
    """For each example, or each of its positions, whether its largest value is at the same place; flat."""
    name, axis = at or (next(iter(case.reference)), None)
    a, b = case.reference[name], case.deployed.get(name)
    if b is None or a.shape != b.shape:
        return np.zeros(max(len(a), 1), bool)
    return np.asarray(places(a, axis) == places(b, axis)).reshape(-1)


def places(output: Array, axis: int | None) -> NDArray[np.int64]:
    """Where the largest values lie along the axis of classes, (N, *P); without one of all values of an example, (N,)."""
    return np.asarray(output.reshape(len(output), -1).argmax(1) if axis is None else output.argmax(axis))
