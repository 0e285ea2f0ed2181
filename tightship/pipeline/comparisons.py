"""Which other file of its run an artifact is held against, besides the reference."""

from collections.abc import Iterable

from tightship.planning.steps import ArtifactPlan


def stock_of(artifact: ArtifactPlan) -> str:
    """The int8 file of the target's own tools, in the same row of the recipe."""
    return f"{artifact.target}/int8-stock{_row(artifact)}"


def float_of(artifact: ArtifactPlan) -> str | None:
    """The fp32 file of a quantized one; the stock file is made from another network, so it has none."""
    return f"{artifact.target}/fp32{_row(artifact)}" if artifact.scheme and artifact.role == "compressed" else None


def first_of(artifact: ArtifactPlan, planned: Iterable[ArtifactPlan]) -> str | None:
    """The file of the same precision in the first of the recipe's rows for the target; none of a row that has no label."""
    if artifact.label is None:
        return None
    precision = artifact.precision.partition("@")[0]
    same = (a for a in planned if (a.target, a.role) == (artifact.target, artifact.role))
    return next((a.id for a in same if a.precision.partition("@")[0] == precision), None)


def _row(artifact: ArtifactPlan) -> str:
    return f"@{artifact.label}" if artifact.label else ""
