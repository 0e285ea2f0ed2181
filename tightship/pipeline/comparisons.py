"""Which other file of its run an artifact is held against, besides the reference."""

from collections.abc import Iterable

from artifacts.ids import ArtifactId
from tightship.planning.steps import ArtifactPlan


def stock_of(artifact: ArtifactPlan) -> ArtifactId:
    """The int8 file of the target's own tools, in the same row of the recipe."""
    return artifact.id.beside("int8-stock")


def float_of(artifact: ArtifactPlan) -> ArtifactId | None:
    """The fp32 file of a quantized one; the stock file is made from another network, so it has none."""
    return artifact.id.beside("fp32") if artifact.scheme and artifact.role == "compressed" else None


def first_of(artifact: ArtifactPlan, planned: Iterable[ArtifactPlan]) -> ArtifactId | None:
    """The file of the same precision in the first of the recipe's rows for the target; none of a row that has no label."""
    if artifact.id.label is None:
        return None
    same = (a.id for a in planned if (a.target, a.role) == (artifact.target, artifact.role))
    return next((other for other in same if other.precision == artifact.id.precision), None)
