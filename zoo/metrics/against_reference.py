"""How far outputs agree with those of the reference, for data without labels."""

import numpy as np

from artifacts.types import Array, Arrays
from zoo.metrics.base import SHARE, Metric, first
from zoo.pairing import values_of


def same(outputs: Arrays, targets: Array) -> Array:
    """Of each example, (N,): whether its largest value is where that of the reference is; of positions the share.

    Classes lie along the second axis of outputs (N, C) and (N, C, H, W), and along the last of (N, T, C).
    """
    found, wanted = values_of(first(outputs), targets)
    axis = -1 if found.ndim == 3 else min(1, found.ndim - 1)
    several = found.ndim > 1 and found.shape[axis] > 1
    hit = np.asarray(found.argmax(axis) == wanted.argmax(axis) if several else np.sign(found) == np.sign(wanted))
    return hit if hit.ndim == 1 else np.asarray(hit.reshape(len(hit), -1).mean(axis=1))


def agreement(outputs: Arrays, targets: Array) -> float:
    """The share of examples, or of positions, whose largest value is at the same place; of single values with the same sign."""
    return float(same(outputs, targets).astype(np.float64).mean())


def errors(outputs: Arrays, targets: Array) -> Array:
    """Of each example, (N,): the norm of the difference in units of the reference's norm."""
    found, wanted = (np.asarray(one, np.float64).reshape(len(targets), -1) for one in values_of(first(outputs), targets))
    norms = np.linalg.norm(wanted, axis=1)
    return np.asarray(np.linalg.norm(found - wanted, axis=1) / np.where(norms, norms, 1.0))


def relative_error(outputs: Arrays, targets: Array) -> float:
    """The mean over examples of ‖output - reference‖ / ‖reference‖; where the reference is zero of the difference itself."""
    return float(errors(outputs, targets).astype(np.float64).mean())


AGREEMENT = Metric("agreement", agreement, "larger", SHARE, alike=True, per_example=same)
RELATIVE_ERROR = Metric("relative-error", relative_error, "smaller", alike=True, per_example=errors)
