"""The plot of cold starts: what each artifact's first answer in a fresh process waits for."""

from collections.abc import Iterable

from artifacts.records.evidence import ArtifactRecord, Evidence
from tightship.reporting.conditions import PARTS, cold_parts
from tightship.reporting.formatting import number
from tightship.reporting.plots.axes import COLORS, Figure, finite, label, layout_of, rows
from tightship.reporting.plots.figures import drawn


def part_names(artifacts: Iterable[ArtifactRecord]) -> list[str]:
    """The parts of a cold start that any of them has, in the order in which they happen."""
    found = {name for a in artifacts for name, _ in cold_parts(a.cold_start_parts_ms)}
    known = [name for name in PARTS.values() if name in found]
    return known + sorted(found - set(known))


def cold_start(evidence: Evidence) -> Figure:
    """One bar for each drawn artifact, the parts stacked in the order in which they happen, in milliseconds."""
    artifacts = sorted(drawn(evidence.artifacts), key=lambda a: a.cold_start_ms)
    parts = [dict(cold_parts(a.cold_start_parts_ms)) for a in artifacts]
    names = part_names(artifacts)
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": label(name),
            "y": list(range(len(artifacts))),
            "x": [finite(found.get(name, 0.0)) for found in parts],
            "hovertext": [
                f"{label(a.id)}: {label(name)} {number(p.get(name))} ms" for a, p in zip(artifacts, parts, strict=True)
            ],
            "hovertemplate": "%{hovertext}<extra></extra>",
            "marker": {"color": COLORS[n % len(COLORS)]},
        }
        for n, name in enumerate(names)
    ]
    axis: Figure = {"title": {"text": "from starting the process to the first result, ms"}, "rangemode": "tozero"}
    layout = layout_of(150 + 24 * len(artifacts), axis, rows([label(a.id) for a in artifacts]))
    return {"data": traces, "layout": layout | {"barmode": "stack", "bargap": 0.35}}
