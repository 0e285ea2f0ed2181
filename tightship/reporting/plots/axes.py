"""What the plots share: colors and symbols, axes, and texts that plotly.js shows literally."""

import html
from collections.abc import Iterable, Sequence
from math import ceil, floor, isfinite, log10

from artifacts.records.evidence import AccuracyRecord, ArtifactRecord, LatencyRecord
from artifacts.records.measured import upper_end
from tightship.reporting.formatting import clean

Figure = dict[str, object]
"""What plotly.js draws, or a part of it: made here as JSON by its own names, and read nowhere."""

COLORS = ("#3b7dd8", "#e08a1e", "#1f9e77", "#c65fa5", "#8a6fd1", "#d1495b", "#3fa7b8", "#8c8c3a")
GREY = "#8a8f98"

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon", "triangle-down")


def label(text: str, longest: int = 44) -> str:
    """The text as plotly.js shows it literally, shortened: its labels otherwise read a subset of HTML."""
    line = clean(text)
    return html.escape(line if len(line) <= longest else f"{line[: longest - 1]}…", quote=False)


def style_of(artifacts: Sequence[ArtifactRecord]) -> dict[str, tuple[str, str]]:
    """One color and one symbol per target, the same in every plot, for readers who cannot tell the colors."""
    targets = sorted({a.target for a in artifacts})
    return {t: (COLORS[n % len(COLORS)], SYMBOLS[(n + n // len(COLORS)) % len(SYMBOLS)]) for n, t in enumerate(targets)}


def line_trace(name: str, points: Sequence[tuple[float, float]], line: Figure) -> Figure:
    """A line through points; one that is no number is a gap."""
    x, y = [finite(p[0]) for p in points], [finite(p[1]) for p in points]
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": line}


def interval_bars(latencies: Sequence[LatencyRecord | None], color: str) -> Figure:
    """The 95 % intervals of medians as plotly.js's error bars; none where there is no interval."""
    bars = [_beside(x) for x in latencies]
    made: Figure = {"array": [above for _, above in bars], "arrayminus": [below for below, _ in bars]}
    return made | {"type": "data", "symmetric": False, "thickness": 1.2, "width": 3, "color": color}


def _beside(latency: LatencyRecord | None) -> tuple[float | None, float | None]:
    """How far an interval reaches below and above its median."""
    high = upper_end(latency.ci95) if latency is not None else None
    if latency is None or high is None:
        return None, None
    return finite(max(0.0, latency.p50 - latency.ci95[0])), finite(max(0.0, high - latency.p50))


def latency_axis(values: Iterable[float | None], title: str) -> Figure:
    """Logarithmic where the values span more than a factor of five, so that fast artifacts stay apart."""
    known = [v for v in values if v is not None and isfinite(v) and v > 0]
    axis: Figure = {"title": {"text": title}, "tickformat": "~g"}
    if not known or max(known) <= 5 * min(known):
        return axis | {"type": "linear"}
    low, high = min(known), max(known)
    steps = (1, 1.5, 2, 3, 4, 5, 7) if high < 20 * low else (1, 2, 5) if high < 2000 * low else (1,)
    ticks = [m * 10.0**e for e in range(floor(log10(low)) - 1, ceil(log10(high)) + 1) for m in steps]
    return axis | {"type": "log", "tickvals": ticks, "ticktext": [f"{t:.4g}" for t in ticks]}


def rows(names: Sequence[str]) -> Figure:
    """One row per name, by position: two names that look the same stay two rows."""
    ticks: Figure = {"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": list(names)}
    return ticks | {"type": "linear", "range": [len(names) - 0.5, -0.5], "showgrid": False}


def score_range(scores: Sequence[AccuracyRecord], share: bool) -> list[float] | None:
    """A range a little wider than the deployed values, better ones up; plotly.js draws a single one from 0 to its double."""
    known = [a.deployed for a in scores if isfinite(a.deployed)]
    if not known:
        return None
    low, high = min(known), max(known)
    pad = max(0.15 * (high - low), 0.005 if share else 0.02 * abs(high) or 1.0)
    return [low - pad, high + pad] if all(a.direction == "larger" for a in scores) else [high + pad, low - pad]


def layout_of(height: int, xaxis: Figure | None = None, yaxis: Figure | None = None) -> Figure:
    """The layout that all plots start from, of this height in pixels, with what is said of the axes."""
    axis: Figure = {"zeroline": False, "automargin": True}
    return {
        "height": height,
        "margin": {"l": 70, "r": 60, "t": 20, "b": 60},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": GREY},
        "hovermode": "closest",
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "itemsizing": "constant"},
        "xaxis": axis | (xaxis or {}),
        "yaxis": axis | (yaxis or {}),
    }


def finite(value: float) -> float | None:
    """JSON has no NaN and no infinity; plotly.js leaves a gap for null."""
    return value if isfinite(value) else None
