"""MLPerf LoadGen against one engine in a process of its own; LoadGen runs in that process, so nothing lies between.

Scenarios and rules: https://github.com/mlcommons/inference/tree/master/loadgen; Reddi et al., MLPerf Inference
Benchmark, https://arxiv.org/abs/1911.02549.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from artifacts.arrays import save_arrays
from artifacts.records.noise import NoiseRecord
from artifacts.types import Arrays, Engine
from benchmarks.process.child import TIMEOUT, Child
from benchmarks.process.loadgen.logs import LoadLog, read_log
from benchmarks.process.loadgen.plan import LoadPlan, SampleCut
from benchmarks.process.loadgen.samples import Samples
from benchmarks.timing.noise import Counters, NoiseMonitor

SEARCH_RUNS = 8
SEARCH_WIDTH = 0.05
"""The search ends when the highest valid and the lowest invalid rate are as near as this share."""
SEARCH_QUERIES = 1000
"""Queries of a run of the search: with less than 459, LoadGen calls no server run valid."""
HEADROOM = 1.1
"""The search begins with this many times the rate of calls back to back, which no queue can keep up."""


@dataclass(frozen=True)
class SampleSet:
    """The samples of a load test."""

    feeds: Arrays
    count: int
    per: int
    """Examples of a sample: 1, or what a file of fixed batch takes."""
    stack: bool
    """Whether several samples may share a call."""


@dataclass(frozen=True)
class LoadRun:
    """One run: LoadGen's judgement, what the engine did, and what else the machine did."""

    log: LoadLog
    folder: str
    """Where LoadGen's logs are."""
    target_qps: float | None
    answered: dict[str, int]
    """`queries`, `samples`, `calls`."""
    checked: int
    """Samples whose outputs LoadGen logged and that equal those of plain runs."""
    noise: NoiseRecord

    @property
    def valid(self) -> bool:
        """Whether LoadGen called the run valid."""
        return bool(self.log.valid)


class Loaded:
    """An engine that is open in its process, warm, and can be put under load."""

    def __init__(self, engine: Engine, samples: SampleSet, plan: LoadPlan, folder: Path, threads: int = 1) -> None:
        self.samples, self.plan, self.folder = samples, plan, folder
        folder.mkdir(parents=True, exist_ok=True)
        one, self.inputs = folder / "one.npz", folder / "samples.npz"
        save_arrays(one, Samples(samples.feeds, samples.count, samples.per).single[0])
        save_arrays(self.inputs, samples.feeds)
        self.child = Child(engine, folder / "child.log", threads, timeout=TIMEOUT + 10 * plan.seconds)
        try:
            self.child.open(one)
            self.child.warm(one, 0.2)
            self.pace = self.child.pace(self.inputs, self._cut(plan))
        except BaseException:
            self.child.close()
            raise

    def __enter__(self) -> "Loaded":
        return self

    def __exit__(self, *_: object) -> None:
        self.child.close()

    def most(self, plan: LoadPlan) -> int:
        """The most samples in a call."""
        return plan.most if self.samples.stack else 1

    def _cut(self, plan: LoadPlan) -> SampleCut:
        return SampleCut(self.samples.count, self.samples.per, self.most(plan))

    def run(self, name: str, plan: LoadPlan | None = None, repeats: int = 0, min_queries: int = 0) -> LoadRun:
        """Run LoadGen; while others disturb it, again, at most `repeats` times. Logs go to `folder/name`, `name-2`, ...

        Raises:
            ParityFailed: the outputs under load are not those of plain runs.
            StageCrashed: LoadGen left no verdict.
            TargetUnavailable: LoadGen is not installed where the engine runs.
        """
        plan, watch = plan or self.plan, NoiseMonitor()
        watch.look_first()
        while True:
            place = self.folder / (f"{name}-{watch.repeated + 1}" if watch.repeated else name)
            begun = Counters.now()
            answer = self.child.loadgen(self.inputs, place, plan, self._cut(plan), self.pace, min_queries)
            turn = watch.turn([answer.seen], begun)
            if not turn.reasons or watch.repeated >= repeats:
                break
            watch.repeated += 1
        watch.keep(turn)
        return LoadRun(read_log(place), str(place), plan.target_qps, answer.answered, answer.checked, watch.record())

    def find_qps(self, repeats: int = 0, runs: int = SEARCH_RUNS) -> tuple[LoadRun | None, list[LoadRun]]:
        """The valid run of the highest rate, or none, and all runs of the search, in order."""
        tried: list[LoadRun] = []

        def valid(rate: float) -> bool:
            plan = replace(self.plan, find_qps=False, target_qps=rate)
            tried.append(self.run(f"search-{len(tried) + 1}", plan, repeats, SEARCH_QUERIES))
            return tried[-1].valid

        best = highest(valid, HEADROOM * self.pace, runs)
        return next((run for run in tried if run.target_qps == best), None), tried


def highest(valid: Callable[[float], bool], high: float, runs: int, width: float = SEARCH_WIDTH) -> float | None:
    """Bisect for the highest valid rate below `high`, in at most `runs` trials; none if no trial was valid.

    >>> highest(lambda rate: rate <= 70, 100.0, 8)
    68.75
    """
    low = 0.0
    for _ in range(runs):
        middle = (low + high) / 2
        low, high = (middle, high) if valid(middle) else (low, middle)
        if high - low <= width * high:
            break
    return low or None
