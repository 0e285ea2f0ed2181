"""Several callers at once, each in a process with the engine: how throughput and latency change with their number.

Processes, not threads: not every session may be called from two threads, and a process each is how such engines are served.
"""

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from artifacts.records.noise import Disturbance, NoiseRecord
from artifacts.types import Engine
from benchmarks.process.child import Child
from benchmarks.timing.noise import Counters, NoiseMonitor, Round
from benchmarks.timing.statistics import Ratio, paired_ratio, quantile

ROUNDS = 5
"""Each number of callers is timed so often, in random order, so that ratios are paired."""
LEAD_NS = 100_000_000
"""From the request until all begin."""
LATE = 0.1
"""Share of a turn that a caller may begin after the others."""
FOREIGN = (Disturbance.FOREIGN, Disturbance.STEAL)
"""Signs that count when several run: they wait for cores and slow the busy loop by themselves."""


@dataclass(frozen=True)
class Level:
    """What so many callers at once got."""

    callers: int
    throughput_per_s: float
    """Calls per second of all together: the median over rounds."""
    p50_ms: float
    p99_ms: float | None
    """None from fewer than 1000 calls."""
    calls: int
    scaling: Ratio
    """Throughput in units of the fewest callers', paired by round."""
    gain: Ratio | None
    """Throughput in units of the next smaller number's; none for the fewest."""

    @property
    def efficiency(self) -> float:
        """Throughput per caller in units of one caller's, if the sweep begins at one."""
        return self.scaling.ratio / self.callers


@dataclass(frozen=True)
class Sweep:
    """All levels, and up to where more callers gave more."""

    levels: tuple[Level, ...]
    scales_to: int
    """The largest number of callers up to which each step's gain was shown: its 95 % interval lies above 1."""
    noise: NoiseRecord


def sweep(
    engine: Engine,
    first: Path,
    folder: Path,
    levels: Sequence[int],
    seconds: float,
    threads: int = 1,
    progress: Callable[[float, str], None] = lambda share, message: None,
) -> Sweep:
    """Time each number of callers, `seconds` in each of five rounds; all processes are warm, those not needed wait.

    Args:
        engine: what to call.
        first: an NPZ with the inputs of a call.
        folder: for the logs.
        levels: numbers of callers.
        seconds: of one turn.
        threads: CPU threads of each engine.
        progress: told the share done.

    Raises:
        ParityFailed: a caller got something else than at its first call.
    """
    counts = sorted(set(levels))
    watch, order = NoiseMonitor(), random.Random(0)
    watch.look_first()
    rates: dict[int, list[float]] = {count: [] for count in counts}
    times: dict[int, list[float]] = {count: [] for count in counts}
    with ExitStack() as stack:
        children = []
        for index in range(counts[-1]):
            child = stack.enter_context(Child(engine, folder / f"child-{index}.log", threads))
            child.open(first)
            child.warm(first, 0.2)
            children.append(child)
        pool = stack.enter_context(ThreadPoolExecutor(counts[-1]))
        for round_ in range(ROUNDS):
            for place, count in enumerate(order.sample(counts, len(counts))):
                found, rate, turn = _together(pool, children[:count], first, seconds, watch)
                watch.keep(turn)
                rates[count].append(rate)
                times[count] += found
                progress((round_ + (place + 1) / len(counts)) / ROUNDS, f"{count} callers")
    made = _levels(counts, rates, times)
    return Sweep(made, scales_to(made), watch.record())


def _together(
    pool: ThreadPoolExecutor, children: Sequence[Child], first: Path, seconds: float, watch: NoiseMonitor
) -> tuple[list[float], float, Round]:
    """All latencies in ms, calls per second of all together, and what was seen."""
    begun = Counters.now()
    start = time.monotonic_ns() + LEAD_NS
    asked = [pool.submit(c.together, first, start, seconds) for c in children]
    answers = [future.result() for future in asked]
    turn = watch.turn([a.seen for a in answers], begun)
    if len(children) > 1:
        turn.reasons = [reason for reason in turn.reasons if reason in FOREIGN]
    if max(a.late_ms for a in answers) > LATE * 1000 * seconds:
        turn.reasons.append(Disturbance.LATE)
    rate = sum(len(a.ns) / (a.seen.wall_ns / 1e9) for a in answers)
    return [ns / 1e6 for a in answers for ns in a.ns], rate, turn


def _levels(counts: Sequence[int], rates: dict[int, list[float]], times: dict[int, list[float]]) -> tuple[Level, ...]:
    made = []
    for place, count in enumerate(counts):
        made.append(
            Level(
                callers=count,
                throughput_per_s=float(quantile(rates[count], 0.5) or 0.0),
                p50_ms=float(quantile(times[count], 0.5) or 0.0),
                p99_ms=quantile(times[count], 0.99),
                calls=len(times[count]),
                scaling=paired_ratio(rates[count], rates[counts[0]]),
                gain=paired_ratio(rates[count], rates[counts[place - 1]]) if place else None,
            )
        )
    return tuple(made)


def scales_to(levels: Sequence[Level]) -> int:
    """The last number of callers before the first step whose gain was not shown."""
    reached = levels[0].callers
    for level in levels[1:]:
        if level.gain is None or level.gain.low <= 1:
            break
        reached = level.callers
    return reached
