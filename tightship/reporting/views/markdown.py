"""The evidence as Markdown: the summary of a CI job."""

import re
from collections.abc import Iterable, Sequence

from artifacts.records.evidence import ArtifactRecord, Evidence
from tightship.reporting.formatting import (
    MISSING,
    absence,
    against_reference,
    best_of,
    bytes_against_reference,
    clean,
    conversion,
    drop_text,
    failures,
    float_ratio,
    headline,
    interval,
    number,
    ordered,
    p99,
    score,
    size,
    speedup,
    stock_lines,
)
from tightship.reporting.sections.conditions import outside
from tightship.reporting.sections.labeled_rows import row_lines


def summary(evidence: Evidence) -> str:
    """The run as Markdown for a CI job's summary page."""
    from tightship.reporting.sections.accuracy_guard import as_markdown

    best = best_of(evidence)
    facts = _deciding(evidence, best) if best is not None else ()
    parts = [
        f"## {escape(evidence.name)}: {escape(headline(evidence))}",
        _bullets((*evidence.verdict.reasons, *facts)),
    ]
    if evidence.artifacts:
        parts.append(_table(ordered(evidence.artifacts)))
    parts += _section("Against the stock int8 files", stock_lines(evidence))
    parts += _section("Against the first row of the same target", row_lines(evidence))
    parts += as_markdown(evidence, escape)
    failed = [f"{a.id}: {name}: {reason}" for a in ordered(evidence.artifacts) for name, reason in failures(a)]
    parts += _section("Failed gates", failed)
    parts += _section("Not run", list(absences(evidence)))
    parts.append(f"Measured on {escape(evidence.machine.fingerprint())}; recipe sha256 `{clean(evidence.recipe_sha256)}`.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _deciding(evidence: Evidence, best: ArtifactRecord) -> tuple[str, str, str]:
    accuracy, latency = best.accuracy, best.latency_ms
    return (
        f"{accuracy.metric} {score(accuracy.deployed, accuracy)}, {against_reference(accuracy)}",
        f"p50 {number(latency.p50)} ms {interval(latency.ci95)}, {speedup(best)}",
        f"{size(best.bytes)} shipped, {bytes_against_reference(evidence, best)}",
    )


_HEADS = (
    "artifact", "verdict", "accuracy", "drop", "p50 ms [95 %]", "p90 ms", "p99 ms", "speed-up", "fp32 / this", "cold start ms",
    "peak RSS MB", "size", "parity, rms", "outside",
)  # fmt: skip


def _table(artifacts: Sequence[ArtifactRecord]) -> str:
    lines = [f"| {' | '.join(_HEADS)} |", "| --- | --- |" + " ---: |" * (len(_HEADS) - 2)]
    return "\n".join(lines + ["| " + " | ".join(escape(cell) for cell in _row(a)) + " |" for a in artifacts])


def _row(a: ArtifactRecord) -> tuple[str, ...]:
    latency, fast = a.latency_ms, a.speedup
    return (
        *(a.id, a.verdict, score(a.accuracy.deployed, a.accuracy), drop_text(a.accuracy)),
        *(f"{number(latency.p50)} {interval(latency.ci95)}", number(latency.p90), p99(latency)),
        f"{number(fast.ratio)}× {interval(fast.ci95)} {fast.verdict}" if fast else MISSING,
        *(float_ratio(a) or MISSING, number(a.cold_start_ms), number(a.peak_rss_mb), size(a.bytes)),
        *(number(a.parity.rms_error) + ("" if a.parity.passed else " FAILED"), outside(a.placement)),
    )


def absences(evidence: Evidence) -> Iterable[str]:
    """What was not run, and why; and what was made for it all the same. One line each, not yet escaped."""
    for missing in evidence.not_run:
        yield f"{missing.target}: {absence(missing) if missing.converted else missing.reason}"
        yield from (conversion(file) for file in missing.converted)


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"### {title}", _bullets(lines)] if lines else []


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {escape(line)}" for line in lines)


def escape(value: str) -> str:
    """The value as Markdown text: nothing in it can be markup, a table cell's end, or HTML."""
    return re.sub(r"([\\`*_{}\[\]<>|#!~&])", r"\\\1", clean(value))
