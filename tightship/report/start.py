"""The plot of a cold start: what each artifact's first answer in a fresh process waits for."""

from typing import Any

from artifacts.evidence import Evidence
from tightship.report.axes import COLOURS, finite, label, layout_of, rows
from tightship.report.figures import drawn
from tightship.report.surroundings import cold_parts
from tightship.report.words import number


def cold_start(evidence: Evidence) -> dict[str, Any]:
    """One bar for each drawn artifact, the parts stacked in the order in which they happen, in milliseconds."""
    artifacts = sorted(drawn(evidence.artifacts), key=lambda a: a.cold_start_ms)
    parts = [dict(cold_parts(a.cold_start_parts_ms)) for a in artifacts]
    names = list(dict.fromkeys(name for found in parts for name in found))
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
            "marker": {"color": COLOURS[n % len(COLOURS)]},
        }
        for n, name in enumerate(names)
    ]
    layout = layout_of(height=150 + 24 * len(artifacts)) | {"barmode": "stack", "bargap": 0.35}
    layout["xaxis"] |= {"title": {"text": "from starting the process to the first result, ms"}, "rangemode": "tozero"}
    layout["yaxis"] |= rows([label(a.id) for a in artifacts])
    return {"data": traces, "layout": layout}


def _hover(artifact: str, part: str, ms: float | None) -> str:
    return f"{label(artifact)}: {label(part)} {number(ms)} ms"
