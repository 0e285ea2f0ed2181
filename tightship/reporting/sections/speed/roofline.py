"""The roofline of a run: what is left to win on this machine, in a plot and in one sentence for each artifact."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from artifacts.records.evidence import ArtifactRecord, Evidence
from artifacts.records.roofline import PeaksRecord, RooflineRecord
from tightship.reporting.formatting import number, ordered, percent
from tightship.reporting.pages import TEMPLATES
from tightship.reporting.plots.axes import GREY, Figure, finite, label, layout_of, line_trace, style_of
from tightship.reporting.sections.base import Section

CLOSE = 0.6
"""Of a roof: from here on little is left to win without less work."""
FAR = 0.3
"""Of a roof: below this, something else than the roof takes the time."""
MOSTLY_FIXED_MS = 0.02
"""Layers that take less than this on average are mostly the fixed cost of calling them."""
MUCH = 0.25
"""A share of the time that is worth a word."""


@dataclass(frozen=True)
class Row:
    """One artifact under the roofs."""

    artifact: ArtifactRecord
    found: RooflineRecord
    means: str
    """What the figures mean, in one sentence."""


def roofline_rows(evidence: Evidence) -> list[Row]:
    """The artifacts of which anything is known, in the order of the table of artifacts."""
    known = [(a, a.roofline) for a in ordered(evidence.artifacts) if a.roofline is not None]
    return [Row(a, found, meaning(a.target, a.latency_ms.p50, found)) for a, found in known]


def absent(evidence: Evidence) -> str | None:
    """Why there is nothing to show; none where there is."""
    if not evidence.artifacts:
        return "No artifact was measured."
    if not any(a.roofline for a in evidence.artifacts):
        return "Not recorded by the version that measured this run; run it again for this section."
    return None


def meaning(target: str, p50_ms: float, found: RooflineRecord) -> str:
    """What a file's place under the roofs says of what is left to win, and why that may be wrong.

    Args:
        target: that it ran on.
        p50_ms: of a call.
        found: its place.
    """
    said = _meaning(target, p50_ms, found)
    return "; ".join((said, *(reason for reason in found.reasons if reason not in said)))


def _meaning(target: str, p50_ms: float, found: RooflineRecord) -> str:
    share = found.compute_share if found.bound != "memory" else found.memory_share
    if share is None:
        return "; ".join(found.reasons) or "neither roof is known"
    at_most = (
        f"this machine's {found.peak_precision} kernels" if found.bound != "memory" else f"the bandwidth of {found.memory}"
    )
    reached = f"reaches {_share(share)} of what {at_most} can do"
    if found.bound is None:
        return f"{reached}; {'; '.join(found.reasons)}"
    if share > 1:
        return f"{reached}: more than the measured peak, {_other(target, found)}; little is left to win without less work"
    if share >= CLOSE:
        return f"{reached}: little is left to win but by fewer {'MACs' if found.bound == 'compute' else 'bytes'} or fewer bits"
    causes = _causes(p50_ms, found) if share < FAR else []
    return f"{reached}: there is something left" + (f"; {'; '.join(causes)}" if causes else "")


def _other(target: str, found: RooflineRecord) -> str:
    """Why a peak can be too low."""
    own = found.bound == "memory" or found.peak_target == target
    return "which other work on the machine held down" if own else f"which is that of {found.peak_target}, not of this runtime"


def _causes(p50: float, found: RooflineRecord) -> list[str]:
    """Where the time goes that the roof does not ask for, as far as the layers tell."""
    causes: list[str] = []
    if found.layers_ms is None or not found.layer_count:
        return causes
    # a profile slows short layers: together they take no longer than the call
    each_ms = min(found.layers_ms, p50) / found.layer_count
    outside = 1 - found.layers_ms / p50
    if outside > MUCH:
        causes.append(f"{_share(outside)} of the latency is spent outside the layers, a fixed cost of each call")
    elif each_ms < MOSTLY_FIXED_MS:
        fixed = f"{found.layer_count} layers of {number(1e3 * each_ms, 2)} µs on average"
        causes.append(f"bound by a fixed cost per layer: {fixed}, so fewer layers win more than fewer MACs")
    if found.light_share is not None and found.light_share > MUCH:
        causes.append(f"{_share(found.light_share)} of the layers' time is in layers that multiply nothing")
    return causes


def roofline_figure(evidence: Evidence) -> Figure:
    """Rate against intensity, both logarithmic, with the roofs and a point for each artifact whose MACs are known."""
    points = [r for r in roofline_rows(evidence) if r.found.gmac_per_s and r.found.macs and r.found.bytes_moved]
    if evidence.peaks is None or not points:
        return {}
    style = style_of(ordered(evidence.artifacts))
    xs = [_intensity(r.found) for r in points]
    low, high = min(xs) / 3, max(xs) * 3
    data = _roofs(evidence.peaks, low, high)
    for target, (color, symbol) in style.items():
        mine = [r for r in points if r.artifact.target == target]
        if mine:
            data.append(_points(target, mine, color, symbol))
    rates = [r.found.gmac_per_s or 1.0 for r in points] + [p.gmac_per_s for p in evidence.peaks.compute]
    rate_axis = _log_axis([min(rates) / 2, max(rates) * 1.6], "GMAC/s (up is better)")
    return {"data": data, "layout": layout_of(440, _log_axis([low, high], "MACs per byte moved"), rate_axis)}


def _intensity(found: RooflineRecord) -> float:
    return (found.macs or 0.0) / (found.bytes_moved or 1.0)


def _roofs(peaks: PeaksRecord, low: float, high: float) -> list[Figure]:
    """The bandwidths as slopes up to the highest peak, and the peaks as levels."""
    top = max(p.gmac_per_s for p in peaks.compute)
    traces = []
    for band, dash in zip(peaks.bandwidth, ("dash", "dot"), strict=False):
        end = min(high, max(low, top / band.gb_per_s))
        line: Figure = {"color": GREY, "width": 1.6, "dash": dash}
        points = [(x, x * band.gb_per_s) for x in (low, end)]
        traces.append(line_trace(f"{label(band.where)} {number(band.gb_per_s)} GB/s", points, line))
    widest = max(b.gb_per_s for b in peaks.bandwidth)
    for n, peak in enumerate(peaks.compute):
        line = {"color": GREY, "width": 2.4 if peak.precision == "int8" else 1.4, "dash": "solid" if n < 2 else "longdash"}
        start = min(high, max(low, peak.gmac_per_s / widest))
        name = f"{label(peak.precision)} {number(peak.gmac_per_s)} GMAC/s ({label(peak.target)})"
        traces.append(line_trace(name, [(x, peak.gmac_per_s) for x in (start, high)], line))
    return [{**trace, "hovertemplate": "%{fullData.name}<extra></extra>"} for trace in traces]


def _points(target: str, mine: Sequence[Row], color: str, symbol: str) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label(target),
        "x": [finite(_intensity(r.found)) for r in mine],
        "y": [finite(r.found.gmac_per_s or 0.0) for r in mine],
        "hovertext": [f"<b>{label(r.artifact.id)}</b><br>{label(r.means, 90)}" for r in mine],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "marker": {"color": color, "symbol": symbol, "size": 11, "opacity": 0.8},
    }


def _log_axis(bounds: Sequence[float], title: str) -> Figure:
    low, high = log10(bounds[0]), log10(bounds[1])
    ticks = [m * 10.0**e for e in range(floor(low), ceil(high) + 1) for m in (1, 2, 5)]
    return {"title": {"text": title}, "type": "log", "range": [low, high], "tickvals": ticks,
            "ticktext": [f"{t:g}" for t in ticks]}  # fmt: skip


def _share(value: float) -> str:
    return percent(value, 1 if value < 0.1 else 0)


def _data(evidence: Evidence) -> Mapping[str, object]:
    return {"roofline_rows": roofline_rows(evidence), "no_roofline": absent(evidence)}


def _figures(evidence: Evidence) -> Mapping[str, Figure]:
    figure = roofline_figure(evidence)
    return {"roofline": figure} if figure else {}


ROOFLINE = Section(
    "roofline",
    "Roofline",
    "Roofline and the cost of layers",
    900,
    TEMPLATES / "sections" / "roofline.html.j2",
    _data,
    _figures,
)
