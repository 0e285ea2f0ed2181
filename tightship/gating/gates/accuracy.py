"""Limits on the task's metric, as the deployed file scores on the whole test set."""

from artifacts.records.evidence import ArtifactRecord
from tightship.gating.gates.base import Gate


def drop(artifact: ArtifactRecord, reference: ArtifactRecord) -> float:
    """How much worse than the reference; negative is a gain."""
    return artifact.accuracy.lost(artifact.accuracy.deployed, reference.accuracy.deployed)


def score(artifact: ArtifactRecord, reference: ArtifactRecord) -> float | None:
    """The metric, where larger is better."""
    return artifact.accuracy.deployed if artifact.accuracy.direction == "larger" else None


def error(artifact: ArtifactRecord, reference: ArtifactRecord) -> float | None:
    """The metric, where smaller is better."""
    return artifact.accuracy.deployed if artifact.accuracy.direction == "smaller" else None


ACCURACY_DROP = Gate(
    "accuracy_drop",
    drop,
    "at most",
    "Largest loss of the metric against the reference (0.01 is one point of accuracy).",
    0.01,
    least=0,
)
ACCURACY_MIN = Gate(
    "accuracy_min",
    score,
    "at least",
    "Least value of the metric on the whole test set (0.92 is 92 % of accuracy).",
    0.92,
    lack="smaller values of this metric are better: set error_max",
)
ERROR_MAX = Gate(
    "error_max",
    error,
    "at most",
    "Largest value on the whole test set of a metric whose smaller values are better, such as mse.",
    0.05,
    lack="larger values of this metric are better: set accuracy_min",
)
