"""Limits on the bytes that are shipped, every sidecar counted."""

from artifacts.records.evidence import ArtifactRecord
from tightship.gating.gates.base import Gate


def megabytes(artifact: ArtifactRecord, reference: ArtifactRecord) -> float:
    """In MB of 10^6 bytes."""
    return artifact.bytes / 1e6


def ratio(artifact: ArtifactRecord, reference: ArtifactRecord) -> float:
    """In units of the reference's bytes."""
    return artifact.bytes / reference.bytes


SIZE_MB = Gate(
    "size_mb",
    megabytes,
    "at most",
    "Most shipped bytes, in MB of 10^6 bytes, every sidecar counted.",
    1.0,
    " MB",
    above=0,
)
SIZE_RATIO = Gate(
    "size_ratio",
    ratio,
    "at most",
    "Largest share of the reference's bytes that is shipped.",
    0.25,
    above=0,
)
