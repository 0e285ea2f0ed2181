"""The plot of a history: latency, accuracy and bytes of what shipped, run after run, one line for each target."""

from collections.abc import Callable, Mapping, Sequence

from artifacts.records.evidence import ArtifactRecord
from tightship.reporting.formatting import number, size
from tightship.reporting.plots.axes import COLORS, GREY, SYMBOLS, Figure, finite, interval_bars, label, latency_axis, layout_of
from tightship.reporting.scores import is_share, score

PANELS = (("y", (0.7, 1.0)), ("y2", (0.36, 0.62)), ("y3", (0.0, 0.28)))
"""Each panel's axis and its share of the height, from the bottom."""

Line = list[ArtifactRecord | None]


def trends(lines: Mapping[str, Line], dates: Sequence[str], machine_changed: Sequence[bool]) -> Figure:
    """Three panels over the runs: p50 with its interval, deployed accuracy, bytes.

    Latency is not joined across a change of machine, accuracy not across a change of the test set.

    Args:
        lines: what each run shipped, by target; the oldest run first.
        dates: of each run, as text.
        machine_changed: whether a run's machine is not that of the run before.
    """
    drawn = enumerate(lines.items())
    data = [trace for n, (target, line) in drawn for trace in _lines(n, target, line, machine_changed)]
    share = all(is_share(a.accuracy) for line in lines.values() for a in line if a)
    smaller = any(a.accuracy.direction == "smaller" for line in lines.values() for a in line if a)
    title = "accuracy (smaller is better)" if smaller else "accuracy"
    return {"data": data, "layout": _layout(dates, title, share, machine_changed) | {"yaxis": _latency(lines)}}


def _lines(n: int, target: str, line: Line, machine_changed: Sequence[bool]) -> list[Figure]:
    color = COLORS[n % len(COLORS)]
    tests = [a.accuracy.test_sha256 if a else None for a in line]
    other_test = [k > 0 and None not in tests[k - 1 : k + 1] and tests[k - 1] != tests[k] for k in range(len(line))]
    made = []
    panels: tuple[tuple[str, Sequence[bool], Callable[[ArtifactRecord], float]], ...] = (
        ("y", machine_changed, lambda a: a.latency_ms.p50),
        ("y2", other_test, lambda a: a.accuracy.deployed),
        ("y3", [False] * len(line), lambda a: a.bytes),
    )
    for axis, breaks, value in panels:
        at, records = _broken(line, breaks)
        trace: Figure = {
            "type": "scatter", "mode": "lines+markers", "name": label(target), "legendgroup": str(n),
            "showlegend": axis == "y", "yaxis": axis, "x": at, "connectgaps": False,
            "y": [finite(value(a)) if a else None for a in records],
            "hovertext": [_hover(a) if a else "" for a in records],
            "hovertemplate": "%{hovertext}<extra></extra>",
            "line": {"color": color, "width": 2}, "marker": {"color": color, "size": 8, "symbol": SYMBOLS[n % len(SYMBOLS)]},
        }  # fmt: skip
        if axis == "y":
            trace["error_y"] = interval_bars([a.latency_ms if a else None for a in records], color)
        made.append(trace)
    return made


def _latency(lines: Mapping[str, Line]) -> Figure:
    axis = latency_axis([a.latency_ms.p50 for line in lines.values() for a in line if a], "p50, ms")
    below: Figure = {"rangemode": "tozero"} if axis["type"] == "linear" else {}
    return {"zeroline": False, "automargin": True, "domain": list(PANELS[0][1])} | axis | below


def _broken(line: Line, breaks: Sequence[bool]) -> tuple[list[float], Line]:
    """Positions and records, with a gap put before each break."""
    at: list[float] = []
    records: Line = []
    for k, record in enumerate(line):
        if breaks[k]:
            at.append(k + 0.5)
            records.append(None)
        at.append(k + 1)
        records.append(record)
    return at, records


def _hover(a: ArtifactRecord) -> str:
    p50 = f"p50 {number(a.latency_ms.p50)} ms"
    return (
        f"<b>{label(a.id)}</b><br>{p50}, {label(a.accuracy.metric)} {score(a.accuracy.deployed, a.accuracy)}, {size(a.bytes)}"
    )


def _layout(dates: Sequence[str], title: str, share: bool, machine_changed: Sequence[bool]) -> Figure:
    every = range(0, len(dates), max(1, len(dates) // 12))
    ticks = {"tickvals": [k + 1 for k in every], "ticktext": [f"{k + 1}<br>{dates[k][:10]}" for k in every]}
    axis: Figure = {"anchor": "y3", "range": [0.5, len(dates) + 0.5], "title": {"text": "run, the oldest first"}}
    layout = layout_of(760, axis | ticks)
    below: tuple[Figure, ...] = (
        {"title": {"text": title}, "tickformat": ".1~%" if share else "~g"},
        {"title": {"text": "bytes"}, "tickformat": "~s", "rangemode": "tozero"},
    )
    for (name, domain), more in zip(PANELS[1:], below, strict=True):
        layout[name.replace("y", "yaxis")] = {"zeroline": False, "automargin": True, "domain": list(domain)} | more
    changed = [k + 0.5 for k, new in enumerate(machine_changed) if new]
    layout["shapes"] = [
        {
            "type": "line",
            "xref": "x",
            "yref": "paper",
            "x0": x,
            "x1": x,
            "y0": 0,
            "y1": 1,
            "line": {"color": GREY, "dash": "dash"},
        }
        for x in changed
    ]
    layout["annotations"] = [
        {"x": x, "xref": "x", "y": 1, "yref": "paper", "text": "another machine", "showarrow": False, "yanchor": "top"}
        for x in changed
    ]
    return layout
