"""A run as a notebook shows it: the verdict, a plot and a table, self-contained and without a script."""

from html import escape

from artifacts.records.evidence import ArtifactRecord, Evidence
from tightship.reporting.conditions import disturbance
from tightship.reporting.formatting import absence, clean, failures, headline, interval, number, ordered, size
from tightship.reporting.plots.svg import scatter
from tightship.reporting.scores import drop_text, score

HEADS = ("artifact", "verdict", "accuracy", "drop", "p50, ms", "95 % interval", "speed-up", "peak MB", "size")
COLORS = {"ship": "#1f9e77", "fail": "#d1495b"}


def render(evidence: Evidence) -> str:
    """The run as HTML for a cell's output; every text is escaped."""
    artifacts = ordered(evidence.artifacts)
    parts = [f"<p><b>{_text(evidence.name)}</b>: {_text(headline(evidence))}.</p>", scatter(artifacts)]
    if artifacts:
        head = "".join(f"<th>{_text(name)}</th>" for name in HEADS)
        parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(map(_row, artifacts))}</tbody></table>")
    parts += [f"<p>{_text(line)}</p>" for line in _notes(evidence, artifacts)]
    return f"<div>{''.join(parts)}</div>"


def _row(a: ArtifactRecord) -> str:
    cells = (
        score(a.accuracy.deployed, a.accuracy), drop_text(a.accuracy), number(a.latency_ms.p50), interval(a.latency_ms.ci95),
        f"{number(a.speedup.ratio)}×" if a.speedup else "",
        number(a.peak_rss_mb), size(a.bytes),
    )  # fmt: skip
    color = COLORS.get(a.verdict, "inherit")
    figures = "".join(f'<td style="text-align: right">{_text(cell)}</td>' for cell in cells)
    return f'<tr><td>{_text(a.id)}</td><td style="color: {color}">{_text(a.verdict)}</td>{figures}</tr>'


def _notes(evidence: Evidence, artifacts: list[ArtifactRecord]) -> list[str]:
    """What failed and why, what was not run, and whether the machine was quiet."""
    lines = [f"{a.id} failed {name}: {reason}" for a in artifacts for name, reason in failures(a)]
    lines += [f"{failed.id} failed at {failed.stage}: {failed.reason}" for failed in evidence.failed]
    lines += [f"{missing.target}: {absence(missing)}" for missing in evidence.not_run]
    disturbed = disturbance(evidence.noise)
    return [*lines, *([f"Disturbed. {disturbed}"] if disturbed else [])]


def _text(text: str) -> str:
    return escape(clean(text))
