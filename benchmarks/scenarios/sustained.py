"""Minutes of calls back to back: whether they slow down, whether the clock did, and whether memory grows."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

import psutil

from artifacts.records.noise import Disturbance
from artifacts.types import Engine
from benchmarks.process.child import Child
from benchmarks.timing.noise import Counters, NoiseMonitor
from benchmarks.timing.statistics import MARGIN, Ratio, apart, quantile, unpaired_ratio
from benchmarks.timing.statistics import interval as interval_of

WINDOW = 5.0
"""Seconds of a window, if that leaves enough of them."""
WINDOWS = 16
"""Windows that a run has at least, so that each quarter has four."""
FEWEST = 3
"""Undisturbed windows that a quarter must have to be compared."""
SLOW_CLOCK = 1.03
"""From here on the fixed loop is said to have slowed: by more than the 2 % within which latencies are equal."""
GROWTH = 0.05
"""Share by which memory must grow to be called growing; less is the allocator's."""
OWN = Disturbance.SPIN
"""This sign does not take a window out: a slower clock is what is looked for here."""

Said = Literal["steady", "slows", "speeds up", "cannot tell"]


@dataclass(frozen=True)
class Window:
    """Some seconds of calls."""

    start_s: float
    """Since the first call."""
    calls: int
    p50_ms: float
    p99_ms: float | None
    """None from fewer than 1000 calls."""
    busy_share: float
    """Share of the time until the next window that was spent in calls."""
    spin_ns: int
    """What a fixed busy loop took right after it."""
    rss_mb: float | None
    mhz: float | None
    reasons: tuple[Disturbance, ...]
    """Why it is called disturbed, if it is."""

    @property
    def quiet(self) -> bool:
        """Whether it may be compared."""
        return not set(self.reasons) - {OWN}


@dataclass(frozen=True)
class Drift:
    """The last quarter of a run against its first."""

    ratio: float | None
    """Median latency of the last quarter's windows in units of the first's."""
    ci95: tuple[float, float] | None
    verdict: Said
    words: str
    """The verdict in a sentence's words, such as `slows by 12.0 %`."""
    clock_ratio: float | None
    """The same of the fixed busy loop, which runs none of the engine: above 1, the machine itself slowed down."""
    throttled: bool | None
    """Whether the machine's clock slowed; none if that cannot be told."""
    rss_growth_mb: float | None
    """Memory of the last window less that of the first."""
    memory_grows: bool | None


def sustain(
    engine: Engine,
    first: Path,
    folder: Path,
    seconds: float,
    threads: int = 1,
    progress: Callable[[float, str], None] = lambda share, message: None,
) -> tuple[list[Window], NoiseMonitor]:
    """Call an engine back to back for `seconds`, in windows with a few ms between them; warm-up is not part of it.

    Args:
        engine: what to call.
        first: an NPZ with the inputs of a call.
        folder: for the log.
        seconds: altogether.
        threads: CPU threads of the engine.
        progress: told the share done.

    Raises:
        ParityFailed: the last call of a window returned something else than the first call.
    """
    length = min(WINDOW, seconds / WINDOWS)
    count = round(seconds / length)
    watch = NoiseMonitor()
    watch.look_first()
    windows: list[Window] = []
    with Child(engine, folder / "child.log", threads) as child:
        child.open(first)
        child.warm(first, 0.2)
        started = Counters.now()
        began = time.monotonic()
        for index in range(count):
            start, begun = time.monotonic() - began, started if index == 0 else Counters.now()
            answer = child.block(first, length, 1)
            turn = watch.turn([answer.seen], begun)
            watch.sample()
            watch.keep(turn)
            times = [ns / 1e6 for ns in answer.ns]
            rss = child.resident_mb()
            busy = sum(times) / 1e3 / (time.monotonic() - began - start)
            windows.append(
                Window(
                    start, len(times), median(times), quantile(times, 0.99), busy, answer.seen.spin_ns, rss, _mhz(),
                    tuple(turn.reasons),
                )
            )  # fmt: skip
            progress((index + 1) / count, f"window {index + 1} of {count}")
    return windows, watch


def drift(windows: Sequence[Window], margin: float = MARGIN) -> Drift:
    """Whether the last quarter of the windows is slower than the first; disturbed windows do not count.

    Each window's median is one value: calls are not independent, windows nearly so. The interval is Welch's t on
    logarithms. It must lie beyond the margin to say `slows`, and within it to say `steady`.
    """
    size = len(windows) // 4
    early, late = ([w for w in part if w.quiet] for part in (windows[:size], windows[len(windows) - size :]))
    clock = _clock_ratio(early, late)
    grown = _growth(windows)
    throttled = None if clock is None else clock > SLOW_CLOCK or _mhz_fell(early, late)
    memory = (grown[0] if grown else None, grown[1] if grown else None)
    if min(len(early), len(late)) < FEWEST:
        why = f"cannot tell: {len(early)} and {len(late)} undisturbed windows at the ends, {FEWEST} each are needed"
        return Drift(None, None, "cannot tell", why, clock, throttled, *memory)
    a, b = ([w.p50_ms for w in part] for part in (late, early))
    ratio = unpaired_ratio(interval_of(a), len(a), interval_of(b), len(b))
    verdict = _verdict(ratio, margin)
    return Drift(ratio.ratio, (ratio.low, ratio.high), verdict, _words(verdict, ratio), clock, throttled, *memory)


def _verdict(ratio: Ratio, margin: float) -> Said:
    # `apart` speaks of B, which is the beginning here
    said = apart(ratio, margin)
    names: dict[str, Said] = {"faster": "slows", "slower": "speeds up", "no difference shown": "steady"}
    return names.get(said, "cannot tell")


def _words(verdict: Said, ratio: Ratio) -> str:
    if verdict in ("slows", "speeds up"):
        return f"{verdict} by {abs(ratio.ratio - 1):.1%}".replace("%", " %")
    return verdict


def _clock_ratio(early: Sequence[Window], late: Sequence[Window]) -> float | None:
    if not early or not late:
        return None
    return median(w.spin_ns for w in late) / median(w.spin_ns for w in early)


def _mhz_fell(early: Sequence[Window], late: Sequence[Window]) -> bool:
    before, after = ([w.mhz for w in part if w.mhz] for part in (early, late))
    return bool(before and after) and median(before) > SLOW_CLOCK * median(after)


def _growth(windows: Sequence[Window]) -> tuple[float, bool] | None:
    known = [w.rss_mb for w in windows if w.rss_mb]
    if len(known) < 2:
        return None
    return known[-1] - known[0], known[-1] > (1 + GROWTH) * known[0]


def _mhz() -> float | None:
    frequency = psutil.cpu_freq() if hasattr(psutil, "cpu_freq") else None
    return float(frequency.current) if frequency and frequency.current else None
