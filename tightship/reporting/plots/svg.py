"""A scatter plot of accuracy against latency as SVG: no script, so that a notebook shows it wherever it is opened."""

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, isfinite, log10

from artifacts.records.evidence import ArtifactRecord
from artifacts.records.measured import measured_interval
from tightship.reporting.formatting import clean, failed, interval, number
from tightship.reporting.plots.axes import GREY, label, score_range, style_of
from tightship.reporting.plots.figures import front
from tightship.reporting.plots.label_placement import placed
from tightship.reporting.scores import score

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 14, 46
LETTER = 6.2
"""Pixels of a letter, at most on average."""
NAMED = 12
"""The most points that carry their name as text; all carry it as a hint."""


class Scale:
    """From values to pixels along one axis."""

    def __init__(self, low: float, high: float, start: float, end: float, log: bool = False) -> None:
        self.log, self.start, self.end = log, start, end
        self.low, self.high = (log10(low), log10(high)) if log else (low, high)
        if self.high - self.low < 1e-12:
            self.low, self.high = self.low - 0.5, self.high + 0.5

    def __call__(self, value: float) -> float:
        """Where a value lies."""
        share = ((log10(value) if self.log else value) - self.low) / (self.high - self.low)
        return self.start + (self.end - self.start) * min(1.0, max(0.0, share))

    def ticks(self) -> list[float]:
        """A few round values."""
        if self.log:
            powers = range(floor(self.low), ceil(self.high) + 1)
            steps = (1, 2, 5) if self.high - self.low < 2 else (1,)
            found = [m * 10.0**e for e in powers for m in steps]
            return [v for v in found if self.low - 1e-9 <= log10(v) <= self.high + 1e-9]
        raw = (self.high - self.low) / 4
        size = 10.0 ** floor(log10(raw))
        step = next(m * size for m in (1, 2, 5, 10) if m * size >= raw)
        first = ceil(self.low / step - 1e-9)
        return [step * n for n in range(first, floor(self.high / step + 1e-9) + 1)]


def scatter(artifacts: Sequence[ArtifactRecord]) -> str:
    """Deployed accuracy against p50 latency with 95 % intervals, failed artifacts hollow; empty without a point."""
    shown = [a for a in artifacts if isfinite(a.accuracy.deployed) and isfinite(a.latency_ms.p50) and a.latency_ms.p50 > 0]
    if not shown:
        return ""
    x, y = _scales(shown)
    style = {target: color for target, (color, _) in style_of(shown).items()}
    parts = [*_axes(x, y, shown[0]), _front(shown, x, y), *(_point(a, style[a.target], x, y) for a in shown)]
    parts += _names(shown, style, x, y) if len(shown) <= NAMED else []
    words = "Deployed accuracy against p50 latency, one point for each artifact."
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" aria-label="{words}" '
        f'font-family="system-ui, sans-serif" font-size="11" fill="currentColor">{"".join(parts)}</svg>'
    )


def _scales(artifacts: Sequence[ArtifactRecord]) -> tuple[Scale, Scale]:
    latencies = [v for a in artifacts for v in (a.latency_ms.p50, *_bounds(a))]
    low, high = min(latencies), max(latencies)
    log = high > 5 * low
    pad = 0.06 * (high - low or low)
    edges = (low / 1.3, high * 1.15) if log else (low - pad, high + pad)
    share = all(0 <= a.accuracy.deployed <= 1 for a in artifacts)
    worst, best = score_range([a.accuracy for a in artifacts], share) or [0.0, 1.0]
    # better is up, also where smaller is better
    pixels = (HEIGHT - BOTTOM, TOP) if worst < best else (TOP, HEIGHT - BOTTOM)
    return Scale(*edges, LEFT, WIDTH - RIGHT, log), Scale(min(worst, best), max(worst, best), *pixels)


def _bounds(a: ArtifactRecord) -> tuple[float, ...]:
    """The ends of the latency's interval; nothing where there is none."""
    return measured_interval(a.latency_ms.ci95) or ()


def _names(artifacts: Sequence[ArtifactRecord], style: Mapping[str, str], x: Scale, y: Scale) -> list[str]:
    """The points' names in their colors, where none covers another."""
    names = [label(a.id, 30) for a in artifacts]
    at = [(x(a.latency_ms.p50), y(a.accuracy.deployed)) for a in artifacts]
    places = placed(at, [LETTER * len(name) for name in names], within=(LEFT + 2, 0, WIDTH, HEIGHT - BOTTOM))
    return [
        _text((place[1][0] + place[1][2]) / 2, place[1][1] + 11, name, "middle", style[a.target])
        for a, name, place in zip(artifacts, names, places, strict=True)
        if place
    ]


def _axes(x: Scale, y: Scale, first: ArtifactRecord) -> list[str]:
    floor_, left = HEIGHT - BOTTOM, LEFT
    lines = [f'<path d="M{left} {TOP}V{floor_}H{WIDTH - RIGHT}" fill="none" stroke="{GREY}"/>']
    lines += [_text(x(v), floor_ + 16, number(v), "middle") for v in x.ticks()]
    lines += [_text(left - 6, y(v) + 4, score(v, first.accuracy), "end") for v in y.ticks()]
    lines += [
        f'<path d="M{left} {y(v):.1f}H{WIDTH - RIGHT}" stroke="{GREY}" stroke-opacity="0.25" fill="none"/>' for v in y.ticks()
    ]
    lines.append(_text((left + WIDTH - RIGHT) / 2, HEIGHT - 8, "p50 latency, ms (left is better)", "middle"))
    turned = f"deployed {label(first.accuracy.metric)} (up is better)"
    middle = (TOP + floor_) / 2
    return [*lines, f'<g transform="rotate(-90 14 {middle})">{_text(14, middle, turned, "middle")}</g>']


def _front(artifacts: Sequence[ArtifactRecord], x: Scale, y: Scale) -> str:
    points = [(x(a.latency_ms.p50), y(a.accuracy.deployed)) for a in front(artifacts)]
    if len(points) < 2:
        return ""
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}" + "".join(f"H{at:.1f}V{up:.1f}" for at, up in points[1:])
    return f'<path d="{path}" fill="none" stroke="{GREY}" stroke-dasharray="3 3"/>'


def _point(a: ArtifactRecord, color: str, x: Scale, y: Scale) -> str:
    at, up = x(a.latency_ms.p50), y(a.accuracy.deployed)
    ends = [x(end) for end in _bounds(a)]
    bar = f'<path d="M{ends[0]:.1f} {up:.1f}H{ends[1]:.1f}" stroke="{color}" stroke-width="1.5" fill="none"/>' if ends else ""
    figures = f"{score(a.accuracy.deployed, a.accuracy)}, p50 {number(a.latency_ms.p50)} ms {interval(a.latency_ms.ci95)}"
    hint = f"{a.id} ({a.verdict}): {figures}"
    fill = "none" if failed(a) else color
    return (
        f'{bar}<circle cx="{at:.1f}" cy="{up:.1f}" r="5" fill="{fill}" stroke="{color}" stroke-width="1.6">'
        f"<title>{escape(clean(hint))}</title></circle>"
    )


def _text(x: float, y: float, text: str, anchor: str, color: str = "currentColor") -> str:
    """A text that is escaped already where it came from outside."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{text}</text>'
