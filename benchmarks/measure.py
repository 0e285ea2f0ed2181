"""Measure engines against each other: one process each, fresh processes every round, short blocks interleaved."""

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from artifacts.arrays import save_arrays
from artifacts.types import Arrays, Engine
from benchmarks.child import Child
from benchmarks.statistics import Ratio, paired_ratio


@dataclass(frozen=True)
class MeasurePlan:
    """How much is measured; both a minimum count and a minimum duration hold."""

    processes: int = 3
    blocks: int = 4
    block_seconds: float = 0.15
    block_calls: int = 10
    warm_seconds: float = 0.2
    threads: int = 1
    latency_batch: int = 1
    throughput_batch: int = 32


@dataclass
class Measured:
    """Raw numbers of one engine."""

    rounds_ms: list[list[float]] = field(default_factory=list)
    """Single-call latencies, one list per process."""
    cold_ms: list[dict[str, float]] = field(default_factory=list)
    peak_rss_mb: list[float] = field(default_factory=list)
    throughput_per_s: float = 0.0

    @property
    def samples(self) -> list[float]:
        """All single-call latencies in ms."""
        return [v for round_ in self.rounds_ms for v in round_]

    @property
    def medians(self) -> list[float]:
        """The median latency of each process in ms."""
        return [float(np.median(r)) for r in self.rounds_ms]

    def speedup_over(self, baseline: "Measured") -> Ratio:
        """The baseline's latency divided by this one's, paired by round."""
        return paired_ratio(baseline.medians, self.medians)


def measure(
    engines: Mapping[str, Engine],
    inputs: Arrays,
    plan: MeasurePlan,
    folder: Path,
    progress: Callable[[float, str], None] = lambda share, message: None,
) -> dict[str, Measured]:
    """Latency, cold start, throughput and peak memory of each engine, in interleaved rounds.

    Args:
        engines: by artifact id.
        inputs: examples to run; the first `plan.latency_batch` for latency, `plan.throughput_batch` for throughput.
        plan: how much is measured.
        folder: where inputs and logs are kept.
        progress: told the share done.
    """
    one, many = _write_inputs(inputs, plan, folder)
    results = {name: Measured() for name in engines}
    shuffle = random.Random(0)
    for round_ in range(plan.processes):
        names = list(engines)
        shuffle.shuffle(names)
        with ExitStack() as stack:
            children: dict[str, Child] = {}
            for index, name in enumerate(names):
                progress((round_ + 0.6 * index / len(names)) / plan.processes, f"round {round_ + 1}: start {name}")
                log = folder / f"{name.replace('/', '-')}.log"
                child = stack.enter_context(Child(engines[name], log, plan.threads))
                results[name].cold_ms.append(child.open(one))
                child.ask("warm", inputs=str(one), seconds=plan.warm_seconds)
                children[name] = child
            progress((round_ + 0.6) / plan.processes, f"round {round_ + 1}: timing")
            _time_round(children, results, plan, one, shuffle)
            for name, child in children.items():
                if round_ == plan.processes - 1:
                    results[name].throughput_per_s = _throughput(child, many, plan)
                results[name].peak_rss_mb.append(child.ask("memory")["peak_rss_mb"])
    return results


def _write_inputs(inputs: Arrays, plan: MeasurePlan, folder: Path) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    one, many = folder / "one.npz", folder / "many.npz"
    count = len(next(iter(inputs.values())))
    picks = np.arange(plan.throughput_batch) % count
    save_arrays(one, {k: v[: plan.latency_batch] for k, v in inputs.items()})
    save_arrays(many, {k: v[picks] for k, v in inputs.items()})
    return one, many


def _time_round(
    children: Mapping[str, Child], results: Mapping[str, Measured], plan: MeasurePlan, one: Path, shuffle: random.Random
) -> None:
    times: dict[str, list[float]] = {name: [] for name in children}
    for _ in range(plan.blocks):
        order: Sequence[str] = shuffle.sample(list(children), len(children))
        for name in order:
            answer = children[name].ask("block", inputs=str(one), seconds=plan.block_seconds, calls=plan.block_calls)
            times[name] += [ns / 1e6 for ns in answer["ns"]]
    for name, values in times.items():
        results[name].rounds_ms.append(values)


def _throughput(child: Child, many: Path, plan: MeasurePlan) -> float:
    child.ask("warm", inputs=str(many), seconds=0.05)
    answer = child.ask("block", inputs=str(many), seconds=2 * plan.block_seconds, calls=5)
    return float(plan.throughput_batch * len(answer["ns"]) / (sum(answer["ns"]) / 1e9))
