"""Where the names of a plot's points stand, so that none covers another."""

from collections.abc import Sequence
from math import isfinite, log10

WIDTH, HEIGHT = 860, 400
"""Pixels from the first to the last point and of the y axis, on a page of 1200 pixels; on a wider one there is more room."""

_LETTER, _LINE, _GAP = 7.0, 15.0, 12.0

Box = tuple[float, float, float, float]
Note = tuple[int, str, float, float]
"""(number of a point, text, dx, dy): a text whose middle stands so many pixels right of and below the point."""


def positions(
    points: Sequence[tuple[float, float]], texts: Sequence[str], log: bool, note: Note | None = None
) -> list[str | None]:
    """A place for each text by plotly.js's names, tried in the order given; none where each place is taken.

    Args:
        points: x in the axis's unit, and y as a share of the axis.
        texts: one for each point.
        log: whether the x axis is logarithmic.
        note: stands where it stands; no text covers it.
    """
    at = _pixels(points, log)
    taken: list[Box] = []
    if note:
        number, words, dx, dy = note
        x, y, half = at[number][0] + dx, at[number][1] + dy, _LETTER * len(words) / 2
        taken.append((x - half, y - _LINE / 2, x + half, y + _LINE / 2))
    return [place[0] if place else None for place in placed(at, [_LETTER * len(text) for text in texts], taken)]


def placed(
    at: Sequence[tuple[float, float]], widths: Sequence[float], taken: Sequence[Box] = (), within: Box | None = None
) -> list[tuple[str, Box] | None]:
    """A place for the text of each point and the pixels that it covers; none where each place is taken.

    Args:
        at: the points in pixels, downward.
        widths: of the texts.
        taken: what no text may cover, besides the points.
        within: where texts must lie.
    """
    covered: list[Box] = [*((x - 6, y - 6, x + 6, y + 6) for x, y in at), *taken]
    found: list[tuple[str, Box] | None] = []
    for n, ((x, y), width) in enumerate(zip(at, widths, strict=True)):
        others = covered[:n] + covered[n + 1 :]
        free = (
            (name, box)
            for name, box in _places(x, y, width)
            if (within is None or _holds(within, box)) and not any(_meet(box, other) for other in others)
        )
        found.append(next(free, None))
        covered += [place[1] for place in found[-1:] if place]
    return found


def _holds(outer: Box, inner: Box) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def _pixels(points: Sequence[tuple[float, float]], log: bool) -> list[tuple[float, float]]:
    xs = [log10(x) if log and x > 0 else x for x, _ in points]
    known = [x for x in xs if isfinite(x)] or [0.0]
    low, span = min(known), (max(known) - min(known)) or 1.0
    return [
        (WIDTH * (x - low) / span if isfinite(x) else -WIDTH, HEIGHT * (1 - y) if isfinite(y) else -HEIGHT)
        for x, (_, y) in zip(xs, points, strict=True)
    ]


def _places(x: float, y: float, width: float) -> list[tuple[str, Box]]:
    below, above = y + _GAP, y - _GAP
    half = _LINE / 2
    return [
        ("bottom center", (x - width / 2, below, x + width / 2, below + _LINE)),
        ("top center", (x - width / 2, above - _LINE, x + width / 2, above)),
        ("middle right", (x + _GAP, y - half, x + _GAP + width, y + half)),
        ("middle left", (x - _GAP - width, y - half, x - _GAP, y + half)),
    ]


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
