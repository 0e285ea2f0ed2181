"""The report's plots as plain plotly.js figures: data and layout, without the colours that the page's theme decides."""

import html
from collections.abc import Iterable, Sequence
from math import ceil, floor, isfinite, log10, sqrt
from typing import Any

from artifacts.evidence import ArtifactRecord, Evidence
from tightship.report.markdown import best_of, clean, interval, is_share, number, ordered, p99, score, size

MOST_BARS = 40
"""The most artifacts drawn in a plot that gives each its own row; the tables always hold all."""

MOST_CURVES = 10
"""The most artifacts whose latency is drawn as one curve each; more are drawn as boxes."""

MOST_NAMED = 24
"""The most points of the trade-off that carry their precision as text."""

_COLOURS = ("#3b7dd8", "#e08a1e", "#1f9e77", "#c65fa5", "#8a6fd1", "#d1495b", "#3fa7b8", "#8c8c3a")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon", "triangle-down")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_GREY = "#8a8f98"
_HOVER = "%{hovertext}<extra></extra>"


def front(artifacts: Iterable[ArtifactRecord]) -> list[ArtifactRecord]:
    """The Pareto front: those that did not fail and that no other beats in both latency and accuracy."""
    best: list[ArtifactRecord] = []
    candidates = [a for a in artifacts if a.verdict != "fail" and isfinite(a.accuracy.deployed)]
    for record in sorted(candidates, key=lambda a: (a.latency_ms.p50, -a.accuracy.deployed)):
        if not best or record.accuracy.deployed > best[-1].accuracy.deployed:
            best.append(record)
    return best


def drawn(artifacts: Sequence[ArtifactRecord]) -> list[ArtifactRecord]:
    """The artifacts that get a row of their own: shipped and reference ones first, then the fastest."""
    wanted = sorted(artifacts, key=lambda a: (a.verdict not in ("ship", "reference"), a.latency_ms.p50))
    return sorted(wanted[:MOST_BARS], key=lambda a: a.latency_ms.p50)


def tradeoff(evidence: Evidence) -> dict[str, Any]:
    """Deployed accuracy against p50 latency, with intervals, marker size by bytes and the Pareto front."""
    artifacts = ordered(evidence.artifacts)
    style = _style(artifacts)
    data = [_front_line(artifacts)]
    data += [_points(artifacts, target, *style[target]) for target in style]
    share = all(is_share(a.accuracy) for a in artifacts)
    metric = clean(artifacts[0].accuracy.metric) if artifacts else "accuracy"
    layout = _layout(height=520)
    layout["xaxis"] |= _latency_axis([a.latency_ms.p50 for a in artifacts], "p50 latency, ms (left is better)")
    layout["yaxis"] |= {
        "title": {"text": f"deployed {label(metric)} (up is better)"},
        "tickformat": ".1~%" if share else "~g",
        "range": _score_range([a.accuracy.deployed for a in artifacts], share),
    }
    layout["annotations"] = _best_mark(evidence, layout["xaxis"]["type"])
    return {"data": data, "layout": layout}


def sizes(evidence: Evidence) -> dict[str, Any]:
    """The model's bytes after each stage, then the bytes that each artifact ships."""
    staged = [(n, s) for n, s in enumerate(evidence.stages, 1) if s.metrics.get("bytes") is not None]
    style = _style(ordered(evidence.artifacts))
    smallest = sorted(drawn(evidence.artifacts), key=lambda a: a.bytes)
    bars = [(f"{n}. {label(s.name)}", s.metrics["bytes"], _GREY) for n, s in staged]
    bars += [(label(a.id), float(a.bytes), style[a.target][0]) for a in smallest]
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": [_finite(b) for _, b, _ in bars],
        "y": list(range(len(bars))),
        "hovertext": [name for name, _, _ in bars],
        "marker": {"color": [colour for _, _, colour in bars]},
        "text": [size(b) for _, b, _ in bars],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{hovertext}: %{text}<extra></extra>",
    }
    layout = _layout(height=130 + 24 * len(bars)) | {"showlegend": False, "bargap": 0.35}
    layout["xaxis"] |= {"title": {"text": "bytes"}, "tickformat": "~s", "ticksuffix": "B", "rangemode": "tozero"}
    layout["yaxis"] |= _rows([name for name, _, _ in bars])
    return {"data": [trace], "layout": layout}


def distributions(evidence: Evidence) -> dict[str, Any]:
    """Latency of single calls: a cumulative curve per artifact, or a box each where there are many."""
    artifacts = drawn(evidence.artifacts)
    if len(artifacts) > MOST_CURVES:
        return _boxes(artifacts)
    style = _style(ordered(evidence.artifacts))
    seen: dict[str, int] = {}
    data = []
    for record in artifacts:
        turn = seen[record.target] = seen.get(record.target, -1) + 1
        data.append(_curve(record, style[record.target][0], _DASHES[turn % len(_DASHES)]))
    layout = _layout(height=460)
    layout["xaxis"] |= _latency_axis([x for trace in data for x in trace["x"]], "latency of one call, ms")
    layout["yaxis"] |= {"title": {"text": "calls at or below"}, "ticksuffix": " %", "range": [0, 101]}
    return {"data": data, "layout": layout}


def label(text: str, longest: int = 44) -> str:
    """The text as plotly.js shows it literally, shortened: its labels otherwise read a subset of HTML."""
    line = clean(text)
    return html.escape(line if len(line) <= longest else f"{line[: longest - 1]}…", quote=False)


def _points(artifacts: Sequence[ArtifactRecord], target: str, colour: str, symbol: str) -> dict[str, Any]:
    mine = [a for a in artifacts if a.target == target]
    most = max(a.bytes for a in artifacts) or 1
    few = len(artifacts) <= MOST_NAMED
    return {
        "type": "scatter",
        "mode": "markers+text" if few else "markers",
        "name": label(target),
        "x": [_finite(a.latency_ms.p50) for a in mine],
        "y": [_finite(a.accuracy.deployed) for a in mine],
        "text": [label(a.precision) for a in mine],
        "textposition": "bottom center",
        "hovertext": [_hover(a) for a in mine],
        "hovertemplate": _HOVER,
        "error_x": _interval_bars(mine, colour),
        "marker": {
            "color": colour,
            "opacity": 0.8 if few else 0.6,
            "size": [7 + (19 if few else 9) * sqrt(a.bytes / most) for a in mine],
            "symbol": [symbol + ("-open" if a.verdict == "fail" else "") for a in mine],
            "line": {"width": 1.6, "color": colour},
        },
    }


def _interval_bars(artifacts: Sequence[ArtifactRecord], colour: str) -> dict[str, Any]:
    spread = [a.latency_ms for a in artifacts]
    return {
        "array": [_finite(max(0.0, s.ci95[1] - s.p50)) for s in spread],
        "arrayminus": [_finite(max(0.0, s.p50 - s.ci95[0])) for s in spread],
    } | {"type": "data", "symmetric": False, "thickness": 1.2, "width": 3, "color": colour}


def _front_line(artifacts: Sequence[ArtifactRecord]) -> dict[str, Any]:
    points = [(a.latency_ms.p50, a.accuracy.deployed) for a in front(artifacts)]
    line = {"color": _GREY, "width": 2, "dash": "dot", "shape": "hv"}
    return _line("Pareto front", points, line) | {"hoverinfo": "skip"}


def _line(name: str, points: Sequence[tuple[float, float]], line: dict[str, Any]) -> dict[str, Any]:
    x, y = [_finite(p[0]) for p in points], [_finite(p[1]) for p in points]
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": line}


def _best_mark(evidence: Evidence, axis: str) -> list[dict[str, Any]]:
    best = best_of(evidence)
    if best is None or not isfinite(best.accuracy.deployed):
        return []
    p50 = best.latency_ms.p50
    x = log10(p50) if axis == "log" else p50
    text = f"<b>best: {label(best.id)}</b>"
    return [{"x": x, "y": best.accuracy.deployed, "text": text, "ax": 40, "ay": -46, "arrowcolor": _GREY}]


def _hover(a: ArtifactRecord) -> str:
    lines = (
        f"<b>{label(a.id)}</b> ({a.verdict})",
        f"{label(a.accuracy.metric)} {score(a.accuracy.deployed, a.accuracy)}",
        f"p50 {number(a.latency_ms.p50)} ms {interval(a.latency_ms.ci95)}",
        f"p90 {number(a.latency_ms.p90)} ms, p99 {label(p99(a.latency_ms))}",
        size(a.bytes),
    )
    return "<br>".join(lines)


def _curve(record: ArtifactRecord, colour: str, dash: str) -> dict[str, Any]:
    # without the tail: the outermost call says nothing, and a p99 needs 1000 samples
    last = 99 if record.latency_ms.samples >= 1000 else 98
    points = [(x, float(q)) for q, x in enumerate(record.latency_ms.curve[: last + 1])]
    hover = "%{y} of calls: %{x:.3~g} ms<extra>%{fullData.name}</extra>"
    return _line(label(record.id), points, {"color": colour, "dash": dash, "width": 2}) | {"hovertemplate": hover}


def _boxes(artifacts: Sequence[ArtifactRecord]) -> dict[str, Any]:
    complete = [a for a in artifacts if len(a.latency_ms.curve) == 101]
    curves = [a.latency_ms.curve for a in complete]
    trace: dict[str, Any] = {"type": "box", "orientation": "h", "y": list(range(len(complete)))}
    for key, at in (("lowerfence", 5), ("q1", 25), ("median", 50), ("q3", 75), ("upperfence", 95)):
        trace[key] = [_finite(curve[at]) for curve in curves]
    trace |= {"marker": {"color": _COLOURS[0]}, "line": {"width": 1.2}, "hoverinfo": "x"}
    layout = _layout(height=140 + 22 * len(complete)) | {"showlegend": False}
    layout["xaxis"] |= _latency_axis([c[q] for c in curves for q in (5, 95)], "latency of one call, ms")
    layout["yaxis"] |= _rows([label(a.id) for a in complete])
    return {"data": [trace], "layout": layout}


def _style(artifacts: Sequence[ArtifactRecord]) -> dict[str, tuple[str, str]]:
    """One colour and one symbol per target, the same in every plot, for readers who cannot tell the colours."""
    targets = sorted({a.target for a in artifacts})
    return {t: (_COLOURS[n % len(_COLOURS)], _SYMBOLS[(n + n // len(_COLOURS)) % len(_SYMBOLS)]) for n, t in enumerate(targets)}


def _latency_axis(values: Iterable[float | None], title: str) -> dict[str, Any]:
    """Logarithmic where the values span more than a factor of five, so that fast artifacts stay apart."""
    known = [v for v in values if v is not None and isfinite(v) and v > 0]
    axis: dict[str, Any] = {"title": {"text": title}, "tickformat": "~g"}
    if not known or max(known) <= 5 * min(known):
        return axis | {"type": "linear"}
    low, high = min(known), max(known)
    steps = (1, 1.5, 2, 3, 4, 5, 7) if high < 20 * low else (1, 2, 5) if high < 2000 * low else (1,)
    ticks = [m * 10.0**e for e in range(floor(log10(low)) - 1, ceil(log10(high)) + 1) for m in steps]
    return axis | {"type": "log", "tickvals": ticks, "ticktext": [f"{t:.4g}" for t in ticks]}


def _rows(names: Sequence[str]) -> dict[str, Any]:
    """One row per name, by position: two names that look the same stay two rows."""
    ticks = {"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": list(names)}
    return ticks | {"type": "linear", "range": [len(names) - 0.5, -0.5], "showgrid": False}


def _score_range(values: Iterable[float], share: bool) -> list[float] | None:
    """A range a little wider than the values; plotly.js draws a single one between 0 and twice itself."""
    known = [v for v in values if isfinite(v)]
    if not known:
        return None
    low, high = min(known), max(known)
    pad = max(0.15 * (high - low), 0.005 if share else 0.02 * abs(high) or 1.0)
    return [low - pad, high + pad]


def _finite(value: float) -> float | None:
    """JSON has no NaN and no infinity; plotly.js leaves a gap for null."""
    return value if isfinite(value) else None


def _layout(height: int) -> dict[str, Any]:
    return {
        "height": height,
        "margin": {"l": 70, "r": 60, "t": 20, "b": 60},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": _GREY, "activecolor": _GREY},
        "hovermode": "closest",
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "itemsizing": "constant"},
        "xaxis": {"zeroline": False, "automargin": True},
        "yaxis": {"zeroline": False, "automargin": True},
    }
