"""The report's plots as plain plotly.js figures: data and layout, without the colors that the page's theme decides."""

from collections.abc import Iterable, Sequence
from math import isfinite, log10, sqrt

from artifacts.records.evidence import ArtifactRecord, Evidence
from tightship.reporting.formatting import best_of, clean, failed, interval, number, ordered, p99, size
from tightship.reporting.plots.axes import (
    COLORS,
    GREY,
    Figure,
    finite,
    interval_bars,
    label,
    latency_axis,
    layout_of,
    line_trace,
    rows,
    score_range,
    style_of,
)  # fmt: skip
from tightship.reporting.plots.label_placement import Note, positions
from tightship.reporting.scores import is_share, score

MOST_BARS = 40
"""The most artifacts drawn in a plot that gives each its own row; the tables always hold all."""

MOST_CURVES = 10
"""The most artifacts whose latency is drawn as one curve each; more are drawn as boxes."""

MOST_NAMED = 24
"""The most points of the trade-off that carry their precision as text."""

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_HOVER = "%{hovertext}<extra></extra>"


def front(artifacts: Iterable[ArtifactRecord]) -> list[ArtifactRecord]:
    """The Pareto front: those that did not fail and that no other beats in both latency and accuracy."""
    best: list[ArtifactRecord] = []
    candidates = [a for a in artifacts if not failed(a) and isfinite(a.accuracy.deployed)]
    for record in sorted(candidates, key=lambda a: (a.latency_ms.p50, a.accuracy.lost(a.accuracy.deployed, 0.0))):
        if not best or record.accuracy.lost(record.accuracy.deployed, best[-1].accuracy.deployed) < 0:
            best.append(record)
    return best


def drawn(artifacts: Sequence[ArtifactRecord]) -> list[ArtifactRecord]:
    """The artifacts that get a row of their own: shipped and reference ones first, then the fastest."""
    wanted = sorted(artifacts, key=lambda a: (a.verdict not in ("ship", "reference"), a.latency_ms.p50))
    return sorted(wanted[:MOST_BARS], key=lambda a: a.latency_ms.p50)


def tradeoff(evidence: Evidence) -> Figure:
    """Deployed accuracy against p50 latency, with intervals, marker size by bytes and the Pareto front."""
    artifacts = ordered(evidence.artifacts)
    style = style_of(artifacts)
    share = all(is_share(a.accuracy) for a in artifacts)
    metric = clean(artifacts[0].accuracy.metric) if artifacts else "accuracy"
    axis = latency_axis([a.latency_ms.p50 for a in artifacts], "p50 latency, ms (left is better)")
    height = score_range([a.accuracy for a in artifacts], share)
    title = {"text": f"deployed {label(metric)} (up is better)"}
    layout = layout_of(520, axis, {"title": title, "tickformat": ".1~%" if share else "~g", "range": height})
    best = best_of(evidence)
    layout["meta"] = {"best": artifacts.index(best) if best in artifacts else None}
    note, logarithmic = _best_note(artifacts, best), axis["type"] == "log"
    layout["annotations"] = [_mark(artifacts, note, logarithmic)] if note else []
    few = len(artifacts) <= MOST_NAMED
    named = _named(artifacts, height, logarithmic, note) if few else [None] * len(artifacts)
    data = [_front_line(artifacts)]
    data += [_points(artifacts, target, *style[target], named) for target in style]
    return {"data": data, "layout": layout}


def sizes(evidence: Evidence) -> Figure:
    """The model's bytes after each stage, then the bytes that each artifact ships."""
    staged = [(n, s) for n, s in enumerate(evidence.stages, 1) if s.metrics.get("bytes") is not None]
    style = style_of(ordered(evidence.artifacts))
    smallest = sorted(drawn(evidence.artifacts), key=lambda a: a.bytes)
    bars = [(f"{n}. {label(s.name)}", s.metrics["bytes"], GREY) for n, s in staged]
    bars += [(label(a.id), float(a.bytes), style[a.target][0]) for a in smallest]
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": [finite(b) for _, b, _ in bars],
        "y": list(range(len(bars))),
        "hovertext": [name for name, _, _ in bars],
        "marker": {"color": [color for _, _, color in bars]},
        "text": [size(b) for _, b, _ in bars],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{hovertext}: %{text}<extra></extra>",
    }
    axis: Figure = {"title": {"text": "bytes"}, "tickformat": "~s", "ticksuffix": "B", "rangemode": "tozero"}
    layout = layout_of(130 + 24 * len(bars), axis, rows([name for name, _, _ in bars]))
    return {"data": [trace], "layout": layout | {"showlegend": False, "bargap": 0.35}}


def distributions(evidence: Evidence) -> Figure:
    """Latency of single calls: a cumulative curve per artifact, or a box each where there are many."""
    artifacts = drawn(evidence.artifacts)
    if len(artifacts) > MOST_CURVES:
        return _boxes(artifacts)
    style = style_of(ordered(evidence.artifacts))
    seen: dict[str, int] = {}
    data = []
    for record in artifacts:
        turn = seen[record.target] = seen.get(record.target, -1) + 1
        data.append(_curve(record, style[record.target][0], _DASHES[turn % len(_DASHES)]))
    axis = latency_axis([x for record in artifacts for x in _curve_of(record)], "latency of one call, ms")
    height: Figure = {"title": {"text": "calls at or below"}, "ticksuffix": " %", "range": [0, 101]}
    return {"data": data, "layout": layout_of(460, axis, height)}


def _named(
    artifacts: Sequence[ArtifactRecord], height: Sequence[float] | None, logarithmic: bool, note: Note | None
) -> list[str | None]:
    """Where each point's precision stands beside it; none where it would cover another's or the note."""
    low, high = height or (0.0, 1.0)
    points = [(a.latency_ms.p50, (a.accuracy.deployed - low) / (high - low)) for a in artifacts]
    texts = [label(a.precision) for a in artifacts]
    return positions(points, texts, logarithmic, note)


def _points(artifacts: Sequence[ArtifactRecord], target: str, color: str, symbol: str, named: Sequence[str | None]) -> Figure:
    rank = [n for n, a in enumerate(artifacts) if a.target == target]
    mine = [artifacts[n] for n in rank]
    most = max(a.bytes for a in artifacts) or 1
    few = len(artifacts) <= MOST_NAMED
    return {
        "type": "scatter",
        "mode": "markers+text" if few else "markers",
        "name": label(target),
        "x": [finite(a.latency_ms.p50) for a in mine],
        "y": [finite(a.accuracy.deployed) for a in mine],
        "text": [label(artifacts[n].precision) if named[n] else "" for n in rank],
        "textposition": [named[n] or "bottom center" for n in rank],
        # the row of the table that the point belongs to, by which the page's filters find it
        "customdata": rank,
        "hovertext": [_hover(a) for a in mine],
        "hovertemplate": _HOVER,
        "error_x": interval_bars([a.latency_ms for a in mine], color),
        "marker": {
            "color": color,
            "opacity": 0.8 if few else 0.6,
            "size": [7 + (19 if few else 9) * sqrt(a.bytes / most) for a in mine],
            "symbol": [symbol + ("-open" if failed(a) else "") for a in mine],
            "line": {"width": 1.6, "color": color},
        },
    }


def _front_line(artifacts: Sequence[ArtifactRecord]) -> Figure:
    points = [(a.latency_ms.p50, a.accuracy.deployed) for a in front(artifacts)]
    line: Figure = {"color": GREY, "width": 2, "dash": "dot", "shape": "hv"}
    return line_trace("Pareto front", points, line) | {"hoverinfo": "skip"}


def _best_note(artifacts: Sequence[ArtifactRecord], best: ArtifactRecord | None) -> Note | None:
    if best is None or best not in artifacts or not isfinite(best.accuracy.deployed):
        return None
    return artifacts.index(best), f"best: {label(best.id)}", 40, -46


def _mark(artifacts: Sequence[ArtifactRecord], note: Note, logarithmic: bool) -> Figure:
    at, words, right, below = note
    p50 = artifacts[at].latency_ms.p50
    x, y = log10(p50) if logarithmic else p50, artifacts[at].accuracy.deployed
    return {"x": x, "y": y, "text": f"<b>{words}</b>", "ax": right, "ay": below, "arrowcolor": GREY}


def _hover(a: ArtifactRecord) -> str:
    lines = (
        f"<b>{label(a.id)}</b> ({a.verdict})",
        f"{label(a.accuracy.metric)} {score(a.accuracy.deployed, a.accuracy)}",
        f"p50 {number(a.latency_ms.p50)} ms {interval(a.latency_ms.ci95)}",
        f"p90 {number(a.latency_ms.p90)} ms, p99 {label(p99(a.latency_ms))}",
        size(a.bytes),
    )
    return "<br>".join(lines)


def _curve_of(record: ArtifactRecord) -> Sequence[float]:
    """The quantiles without the tail: the outermost call says nothing, and a p99 needs 1000 samples."""
    last = 99 if record.latency_ms.samples >= 1000 else 98
    return record.latency_ms.curve[: last + 1]


def _curve(record: ArtifactRecord, color: str, dash: str) -> Figure:
    points = [(x, float(q)) for q, x in enumerate(_curve_of(record))]
    hover = "%{y} of calls: %{x:.3~g} ms<extra>%{fullData.name}</extra>"
    return line_trace(label(record.id), points, {"color": color, "dash": dash, "width": 2}) | {"hovertemplate": hover}


def _boxes(artifacts: Sequence[ArtifactRecord]) -> Figure:
    complete = [a for a in artifacts if len(a.latency_ms.curve) == 101]
    curves = [a.latency_ms.curve for a in complete]
    trace: Figure = {"type": "box", "orientation": "h", "y": list(range(len(complete)))}
    for key, at in (("lowerfence", 5), ("q1", 25), ("median", 50), ("q3", 75), ("upperfence", 95)):
        trace[key] = [finite(curve[at]) for curve in curves]
    trace |= {"marker": {"color": COLORS[0]}, "line": {"width": 1.2}, "hoverinfo": "x"}
    axis = latency_axis([c[q] for c in curves for q in (5, 95)], "latency of one call, ms")
    layout = layout_of(140 + 22 * len(complete), axis, rows([label(a.id) for a in complete]))
    return {"data": [trace], "layout": layout | {"showlegend": False}}
