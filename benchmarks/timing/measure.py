"""Measure engines against each other: one process each, fresh processes every round, short blocks interleaved."""

import math
import random
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from artifacts.arrays import load_arrays, save_arrays
from artifacts.errors import ParityFailed
from artifacts.records.noise import NoiseRecord
from artifacts.types import Arrays, Engine
from benchmarks.process.answers import ColdStart, Timed, TimedParts, Warmed
from benchmarks.process.child import Child
from benchmarks.process.outputs import near
from benchmarks.timing.energy import Meter
from benchmarks.timing.noise import NoiseMonitor
from benchmarks.timing.rounds import EndToEnd, Rounds, energy_mj
from benchmarks.timing.starting import Starting
from benchmarks.timing.statistics import Ratio, mean_ratio, typical_ratio

LISTS = ("rounds_ms", "slice_calls", "cold_ms", "peak_rss_mb", "rss_load_mb", "rss_run_mb", "warmups", "energy_mj", "whole_ms")
"""Fields of `Measured` that hold something of each process."""
PARTS = ("pre", "inference", "post", "whole")
"""Of a call from the raw example to the labels."""


@dataclass(frozen=True)
class MeasurePlan:
    """How much is measured; both a minimum count and a minimum duration hold."""

    processes: int = 3
    blocks: int = 4
    block_seconds: float = 0.15
    block_calls: int = 10
    slices: int = 5
    """Of a block, between which the engines take turns; at least two calls each."""
    warm_seconds: float = 0.2
    threads: int = 1
    latency_batch: int = 1
    throughput_batch: int = 32
    """Examples of a call of which throughput is measured; 0: it is not."""
    repeats: int = 0
    """How many turns that others disturbed are thrown away and timed again."""
    seed: int = 0
    """Of the order in which engines take turns."""
    whole: tuple[str, ...] = ()
    """Inputs that hold no examples side by side, such as the bytes of a picture, though they may look so."""
    cold: bool = True
    """Whether cold start is measured: processes then start one after the other; else side by side, which is quicker."""


@dataclass
class Measured:
    """Raw numbers of one engine."""

    rounds_ms: list[list[float]] = field(default_factory=list)
    """Single-call latencies, one list per process."""
    slice_calls: list[list[int]] = field(default_factory=list)
    """How many calls each slice of a process had, in order; the slices of engines that were measured together are pairs."""
    cold_ms: list[ColdStart] = field(default_factory=list)
    peak_rss_mb: list[float] = field(default_factory=list)
    throughput_per_s: float = 0.0
    rss_load_mb: list[float] = field(default_factory=list)
    """Peak resident set until the file was loaded, one per process."""
    rss_run_mb: list[float] = field(default_factory=list)
    """Peak resident set of the single calls, one per process."""
    warmups: list[Warmed] = field(default_factory=list)
    outputs: Arrays = field(default_factory=dict)
    """What the timed calls returned."""
    energy_mj: list[float] = field(default_factory=list)
    """Millijoules of a call, one per process; empty where no energy can be read."""
    whole_ms: list[dict[str, list[float]]] = field(default_factory=list)
    """Of calls from the raw example to the labels, p50 and p90 of `pre`, `inference`, `post` and `whole`; one per process."""
    whole_calls: int = 0
    noise: NoiseRecord | None = None
    """What else the machine did; the same for all that were measured together."""

    @property
    def samples(self) -> list[float]:
        """All single-call latencies in ms."""
        return [v for round_ in self.rounds_ms for v in round_]

    @property
    def medians(self) -> list[float]:
        """The median latency of each process in ms."""
        return [float(np.median(r)) for r in self.rounds_ms]

    def speedup_over(self, baseline: "Measured", error: float = 0.05) -> Ratio:
        """The baseline's latency divided by this one's; its interval is over processes."""
        return mean_ratio(self.ratios(baseline), error)

    def ratios(self, baseline: "Measured") -> list[float]:
        """The baseline's latency divided by this one's in each round: the median of what their slices give, side by side."""
        pairs = zip(baseline.slices_ms, self.slices_ms, strict=True)
        return [typical_ratio(theirs, mine) for theirs, mine in pairs]

    @property
    def slices_ms(self) -> list[list[float]]:
        """The median latency of each slice, one list per process; a process without slices is one."""
        cuts = self.slice_calls or [[len(calls)] for calls in self.rounds_ms]
        return [
            [float(np.median(part)) for part in np.split(np.asarray(calls), np.cumsum(counts)[:-1])]
            for calls, counts in zip(self.rounds_ms, cuts, strict=True)
        ]

    def extend(self, more: "Measured") -> None:
        """Add further processes of the same engine."""
        for name in LISTS:
            getattr(self, name).extend(getattr(more, name))
        self.throughput_per_s, self.noise = more.throughput_per_s, more.noise
        self.whole_calls += more.whole_calls


def measure(
    engines: Mapping[str, Engine],
    inputs: Arrays,
    plan: MeasurePlan,
    folder: Path,
    progress: Callable[[float, str], None] = lambda share, message: None,
    watch: NoiseMonitor | None = None,
    meter: Meter | None = None,
    whole: EndToEnd | None = None,
) -> dict[str, Measured]:
    """Latency, cold start, throughput, peak memory and energy of each engine, in interleaved rounds.

    Args:
        engines: by artifact id.
        inputs: examples to run; the first `plan.latency_batch` for latency, `plan.throughput_batch` for throughput.
        plan: how much is measured.
        folder: where inputs and logs are kept.
        progress: told the share done.
        watch: what has looked at the machine so far, if this goes on with an earlier measurement.
        meter: reads energy; by default none is read.
        whole: a raw example, if calls from there to the labels are timed too.

    Raises:
        ParityFailed: an engine returned something else in a timed call, or in another process.
    """
    one, many = _write_inputs(inputs, plan, folder)
    results = {name: Measured() for name in engines}
    shuffle = random.Random(plan.seed)
    watch, meter, spare = watch or NoiseMonitor(), meter or Meter((), None), plan.repeats
    for round_ in range(plan.processes):
        names = list(engines)
        shuffle.shuffle(names)
        with ExitStack() as stack:
            starting = Starting(engines, one, plan.threads, plan.warm_seconds, stack)
            if plan.cold:
                started = {}
                for index, name in enumerate(names):
                    progress((round_ + 0.6 * index / len(names)) / plan.processes, f"round {round_ + 1}: start {name}")
                    started[name] = starting.one(name)
                    results[name].cold_ms.append(started[name].cold)
            else:
                progress(round_ / plan.processes, f"round {round_ + 1}: start {len(names)} processes")
                started = starting.side_by_side(names, watch.cores)
            for name in names:
                results[name].warmups.append(started[name].warmup)
            children = {name: started[name].child for name in names}
            progress((round_ + 0.6) / plan.processes, f"round {round_ + 1}: timing")
            watch.sample()
            turns = Rounds(children, shuffle, watch, meter, spare)
            _time_round(turns, results, plan, one)
            if whole:
                _time_whole(turns, results, plan, one, whole)
            spare = turns.spare
            for name, child in children.items():
                _finish(child, results[name], plan, one, many, last=round_ == plan.processes - 1)
            for child in children.values():
                child.end()
    for one_engine in results.values():
        one_engine.noise = watch.record()
    return results


def _finish(child: Child, result: Measured, plan: MeasurePlan, one: Path, many: Path, last: bool) -> None:
    """What is asked of a process when its calls are timed: outputs, memory and, of the last one, throughput."""
    memory = child.memory()
    result.rss_load_mb.append(memory.load_rss_mb)
    result.rss_run_mb.append(memory.run_rss_mb)
    made = one.with_name("outputs.npz")
    child.outputs(one, made)
    outputs = load_arrays(made)
    made.unlink()
    for name, value in result.outputs.items():
        if not near(value, outputs[name]):
            says = f"{child.engine.path.name} gave another {name!r} in another process on the same inputs."
            raise ParityFailed(says).about(child.engine)
    result.outputs = result.outputs or outputs
    if last and plan.throughput_batch:
        result.throughput_per_s = _throughput(child, many, plan)
    result.peak_rss_mb.append(child.memory().peak_rss_mb)


def _write_inputs(inputs: Arrays, plan: MeasurePlan, folder: Path) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    one, many = folder / "one.npz", folder / "many.npz"
    count = len(next(iter(inputs.values())))
    for path, batch in ((one, plan.latency_batch), (many, plan.throughput_batch)):
        picks = np.arange(batch) % count
        # an input that is not one row per example, such as a sampling rate or a state, goes in as it is
        rows = {k: v.ndim and len(v) == count and k not in plan.whole for k, v in inputs.items()}
        save_arrays(path, {k: v[picks] if rows[k] else v for k, v in inputs.items()})
    return one, many


def _time_round(turns: Rounds, results: Mapping[str, Measured], plan: MeasurePlan, one: Path) -> None:
    """Time `plan.blocks` turns of single calls, in slices so short that what slows the machine slows those of all engines."""
    slices = max(1, min(plan.slices, plan.block_calls // 2))
    seconds, calls = plan.block_seconds / slices, math.ceil(plan.block_calls / slices)

    def slice_(child: Child) -> Timed:
        return child.block(one, seconds, calls)

    for name, answers in turns.take(plan.blocks, slice_, slices).items():
        results[name].rounds_ms.append([ns / 1e6 for answer in answers for ns in answer.ns])
        results[name].slice_calls.append([len(answer.ns) for answer in answers])
        energy = energy_mj(answers)
        if energy is not None:
            results[name].energy_mj.append(energy)


def _time_whole(turns: Rounds, results: Mapping[str, Measured], plan: MeasurePlan, one: Path, whole: EndToEnd) -> None:
    """Time half as many turns of calls from the raw example to the labels, where the engine lives in the child."""
    raw = one.with_name("raw.npz")
    save_arrays(raw, whole.raw)
    like = one if whole.same else None
    children = {name: child for name, child in turns.children.items() if child.end_to_end_able()}
    if not children:
        return

    def block(child: Child) -> TimedParts:
        return child.end_to_end(raw, whole.scaling, whole.labels, like, plan.block_seconds, plan.block_calls)

    mine = replace(turns, children=children)
    for name, answers in mine.take(max(1, plan.blocks // 2), block).items():
        parts = {part: [ns / 1e6 for answer in answers for ns in answer.parts()[part]] for part in PARTS}
        results[name].whole_ms.append({part: [float(np.quantile(ms, q)) for q in (0.5, 0.9)] for part, ms in parts.items()})
        results[name].whole_calls += len(parts["whole"])
    turns.spare = mine.spare


def _throughput(child: Child, many: Path, plan: MeasurePlan) -> float:
    child.warm(many, 0.05)
    times = child.block(many, 2 * plan.block_seconds, 5).ns
    return plan.throughput_batch * len(times) / (sum(times) / 1e9)
