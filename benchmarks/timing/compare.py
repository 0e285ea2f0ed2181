"""Whether one engine is faster than another: pairs of processes are added until that is known, or a limit is reached."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from artifacts.types import Arrays, Engine
from benchmarks.timing.measure import Measured, MeasurePlan, measure
from benchmarks.timing.noise import NoiseMonitor
from benchmarks.timing.statistics import MARGIN, Ratio, Verdict, processes_needed

ERROR = 0.05
"""How often two equal files may be called different, over all looks of a comparison together."""


@dataclass(frozen=True)
class Look:
    """One time at which the numbers are looked at."""

    processes: int
    """Pairs of processes in all."""
    error: float
    """How much of the error rate it may use."""


def looks(first: int, limit: int, error: float = ERROR) -> tuple[Look, ...]:
    """Twice as many pairs at each look; each spends three times the error of the one before, the sum is `error`.

    Whoever looks several times and stops when it suits errs more often than each look alone. Shares that sum to the
    error rate bound the whole, whatever the looks have in common (Bonferroni).

    >>> [(look.processes, round(look.error, 4)) for look in looks(5, 20)]
    [(5, 0.0038), (10, 0.0115), (20, 0.0346)]
    """
    counts = [first]
    while counts[-1] < limit:
        counts.append(min(2 * counts[-1], limit))
    shares = [3.0**at for at in range(len(counts))]
    return tuple(Look(count, error * share / sum(shares)) for count, share in zip(counts, shares, strict=True))


@dataclass(frozen=True)
class Comparison:
    """What was found of B against A."""

    verdict: Verdict
    ratio: Ratio
    """A's latency divided by B's; the interval holds for all looks together."""
    margin: float
    needed: int | None
    """About how many pairs of processes would decide, where these could not."""
    a: Measured
    b: Measured


def compare(
    a: Engine,
    b: Engine,
    inputs: Arrays,
    plan: MeasurePlan,
    folder: Path,
    limit: int,
    margin: float = MARGIN,
    progress: Callable[[float, str], None] = lambda share, message: None,
) -> Comparison:
    """Measure A and B interleaved, in fresh pairs of processes, until one verdict holds.

    Args:
        a: the baseline.
        b: the candidate.
        inputs: examples that both take.
        plan: how much is measured in each process; `plan.processes` pairs before the first look.
        folder: where inputs and logs are kept.
        limit: the most pairs of processes.
        margin: two latencies this near to each other, as a share, are equal.
        progress: told the share done.

    Raises:
        ParityFailed: a file returned something else in a timed call, or in another process.
    """
    watch = NoiseMonitor()
    watch.look_first()
    found = {"a": Measured(), "b": Measured()}
    for at, look in enumerate(looks(plan.processes, max(limit, plan.processes))):
        more = look.processes - len(found["a"].rounds_ms)
        step = replace(
            plan, processes=more, seed=plan.seed + at, repeats=plan.blocks * more // 2, cold=False, throughput_batch=0
        )
        for name, measured in measure({"a": a, "b": b}, inputs, step, folder, progress, watch).items():
            found[name].extend(measured)
        ratio = found["b"].speedup_over(found["a"], look.error)
        verdict = ratio.decide(margin)
        if verdict != "cannot tell":
            break
    ratios = found["b"].ratios(found["a"])
    needed = processes_needed(ratios, margin, look.error) if verdict == "cannot tell" else None
    return Comparison(verdict, ratio, margin, needed, found["a"], found["b"])
