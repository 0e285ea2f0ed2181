"""The evidence as Markdown: the summary of a CI job."""

from artifacts.records.evidence import ArtifactRecord, Evidence
from tightship.reporting.escaping import bullets, escape
from tightship.reporting.formatting import best_of, bytes_against_reference, clean, headline, interval, number, size, speedup
from tightship.reporting.scores import against_reference, score
from tightship.reporting.sections import in_order


def summary(evidence: Evidence) -> str:
    """The run as Markdown for a CI job's summary page."""
    best = best_of(evidence)
    facts = _deciding(evidence, best) if best is not None else ()
    parts = [
        f"## {escape(evidence.name)}: {escape(headline(evidence))}",
        bullets((*evidence.verdict.reasons, *facts)),
    ]
    for section in in_order():
        parts += section.markdown(evidence) if section.markdown else ()
    parts.append(f"Measured on {escape(evidence.machine.fingerprint())}; recipe sha256 `{clean(evidence.recipe_sha256)}`.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _deciding(evidence: Evidence, best: ArtifactRecord) -> tuple[str, str, str]:
    accuracy, latency = best.accuracy, best.latency_ms
    return (
        f"{accuracy.metric} {score(accuracy.deployed, accuracy)}, {against_reference(accuracy)}",
        f"p50 {number(latency.p50)} ms {interval(latency.ci95)}, {speedup(best)}",
        f"{size(best.bytes)} shipped, {bytes_against_reference(evidence, best)}",
    )
