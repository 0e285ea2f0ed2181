"""The accuracy guard's ladder in words: what the terminal, the Markdown summary and the HTML report show of it."""

from collections.abc import Callable
from dataclasses import dataclass

from artifacts.records.accuracy_guard import GuardRecord, RungRecord
from artifacts.records.evidence import AccuracyRecord, ArtifactRecord, Evidence
from tightship.reporting.formatting import MISSING, is_share, number, score, size

HEADS = ("rung", "accuracy", "drop", "std. error", "seconds", "size", "result")


@dataclass(frozen=True)
class Ladder:
    """The rungs of one artifact, as text."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    """One cell for each of `HEADS`."""
    sensitivity: str
    """The most sensitive layers on one line; empty if none were ranked."""


def ladders(evidence: Evidence) -> list[Ladder]:
    """The ladder of every artifact that the accuracy guard made."""
    return [_ladder(a, a.guard) for a in evidence.artifacts if a.guard is not None]


def as_markdown(evidence: Evidence, escape: Callable[[str], str]) -> list[str]:
    """A title and a table for every ladder, their texts made harmless by `escape`."""
    parts = []
    for ladder in ladders(evidence):
        lines = [f"| {' | '.join(HEADS)} |", "| --- |" + " ---: |" * 5 + " --- |"]
        lines += ["| " + " | ".join(map(escape, row)) + " |" for row in ladder.rows]
        parts += ["### Accuracy guard", escape(ladder.title), "\n".join(lines)]
        parts += [escape(ladder.sensitivity)] if ladder.sensitivity else []
    return parts


def _ladder(artifact: ArtifactRecord, guard: GuardRecord) -> Ladder:
    accuracy = artifact.accuracy
    unit = " points" if is_share(accuracy) else ""
    budget, reference = f"{lost(guard.budget, accuracy)}{unit}", score(guard.reference, accuracy)
    title = (
        f"{artifact.id}: budget {budget} on {guard.held_out:,} held-out training examples (float {reference}); "
        f"{'chosen' if guard.met else 'NOT met, best'}: {guard.chosen}"
    )
    rows = tuple(_row(rung, accuracy) for rung in guard.rungs)
    layers = ", ".join(f"{s.layer} {s.sqnr_db:.1f} dB" for s in guard.sensitivity[:5])
    return Ladder(title, rows, f"most sensitive layers (SQNR when quantized alone): {layers}" if layers else "")


def _row(rung: RungRecord, accuracy: AccuracyRecord) -> tuple[str, ...]:
    if rung.metric is None or rung.drop is None or rung.error is None:
        return (rung.name, *(MISSING,) * 5, f"not tried: {rung.reason}")
    result = "met" if rung.met else "not met"
    return (
        rung.name,
        score(rung.metric, accuracy),
        lost(rung.drop, accuracy),
        lost(rung.error, accuracy),
        number(rung.seconds),
        size(rung.bytes),
        f"{result}, chosen" if rung.chosen else result,
    )


def lost(value: float, accuracy: AccuracyRecord) -> str:
    """A drop as the other tables show it: in points if the metric is a share."""
    return f"{round(100 * value, 3) + 0.0:.4g}" if is_share(accuracy) else number(value)
