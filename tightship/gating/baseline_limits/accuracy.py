"""How much worse the deployed metric may be than the baseline's."""

from artifacts.records.evidence import ArtifactRecord
from tightship.gating.baseline import Figures
from tightship.gating.baseline_limits.base import BaselineLimit


def drop(artifact: ArtifactRecord, base: Figures) -> float:
    """How much worse than the baseline's; negative is a gain."""
    return artifact.accuracy.lost(artifact.accuracy.deployed, base.accuracy)


def side(artifact: ArtifactRecord) -> str:
    """Where a worse metric lies."""
    return f" {'below' if artifact.accuracy.direction == 'larger' else 'above'} the baseline's"


def same_test_set(artifact: ArtifactRecord, base: Figures) -> str | None:
    """A metric is compared only on the same examples."""
    if artifact.accuracy.metric != base.metric:
        return f"this run measured {artifact.accuracy.metric}, the baseline {base.metric}"
    if artifact.accuracy.test_sha256 != base.test_sha256:
        return "the baseline was scored on another test set; write it again on this one"
    return None


ACCURACY_DROP = BaselineLimit("baseline_accuracy_drop", drop, "at most", side, incomparable_reason=same_test_set)
