"""The child process that holds one engine: it opens it, runs it and times it, as its parent says."""

import time

STARTED = time.monotonic_ns()

from collections.abc import Callable  # noqa: E402
from functools import partial  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402

from artifacts.arrays import examples_first, joined, load_arrays, save_arrays  # noqa: E402
from artifacts.errors import ModelError, ParityFailed  # noqa: E402
from artifacts.json import JsonObject, read  # noqa: E402
from artifacts.records.measured import PlacementRecord  # noqa: E402
from artifacts.records.roofline import LayerTimes  # noqa: E402
from artifacts.specs import Signature, TensorSpec  # noqa: E402
from artifacts.types import Arrays, Engine, Placement, Session  # noqa: E402
from benchmarks.process.answers import (  # noqa: E402
    LoadAnswer,
    Looped,
    Memory,
    Opened,
    Tensors,
    Timed,
    TimedParts,
    TimedTogether,
    Warmed,
)
from benchmarks.process.end_to_end import Parts, Scaling  # noqa: E402
from benchmarks.process.loop import Loop, repeat  # noqa: E402
from benchmarks.process.memory import peak_rss_mb, reset_peak, resident_mb  # noqa: E402
from benchmarks.process.outputs import copied, near  # noqa: E402
from benchmarks.process.serve import serve  # noqa: E402
from benchmarks.process.stopwatch import Timer, time_calls, watched  # noqa: E402
from benchmarks.process.warmup import settle  # noqa: E402
from runtimes.base import Placed, ShowsTensors, TimesItself, TimesLayers  # noqa: E402
from runtimes.registry import find  # noqa: E402

WARM_CALLS = 20
WARM_LIMIT = 10
"""Warm-up goes on until the latency is stable, but no longer than so many times what was asked for."""

NOT_PLACED = Placement({}, {}, "this runtime does not say where operators run")


class Worker:
    """One engine and what can be asked of it."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.specs: tuple[TensorSpec, ...] = ()
        self.feeds: dict[str, Arrays] = {}
        self.made: dict[str, Arrays] = {}
        """What the first run made of each file of inputs."""
        self.load_peak_mb = 0.0

    def open(
        self, target: str, path: str, signature: JsonObject, threads: int, first: str, options: JsonObject | None = None
    ) -> Opened:
        """Load the engine and run it once; milliseconds for each part of the cold start since the process began."""
        begun = time.monotonic_ns()
        runtime = find(target).runtime()
        runtime.probe()
        engine = Engine(target, Path(path), Signature.from_json(signature), options or {})
        imported = time.monotonic_ns()
        self.session, self.specs = runtime.open(engine, threads), engine.signature.outputs
        loaded = time.monotonic_ns()
        self.load_peak_mb = peak_rss_mb() + self._elsewhere_mb()
        reset_peak()
        feeds = self._inputs(first)
        begun_run = time.monotonic_ns()
        made = self.session.run(feeds)
        ran = time.monotonic_ns()
        self.made[first] = copied(made)
        return Opened(
            python=(begun - STARTED) / 1e6,
            imports=(imported - begun) / 1e6,
            load=(loaded - imported) / 1e6,
            first_run=(ran - begun_run) / 1e6,
            ended_ns=float(ran),
            load_rss_mb=self.load_peak_mb,
        )

    def _elsewhere_mb(self) -> float:
        """The peak resident set of another process that holds the engine."""
        return self.session.peak_mb() if isinstance(self.session, TimesItself) else 0.0

    def _inputs(self, path: str) -> Arrays:
        if path not in self.feeds:
            self.feeds[path] = load_arrays(Path(path))
        return self.feeds[path]

    def run(self, inputs: str, outputs: str, batch: int) -> None:
        """Run a file of examples, which is not kept, `batch` at a time; write the outputs, examples along the first axis."""
        assert self.session is not None
        feeds = load_arrays(Path(inputs))
        total = len(next(iter(feeds.values())))
        cuts = [{n: np.array(v[i : i + batch], order="C") for n, v in feeds.items()} for i in range(0, total, batch)]
        parts = [self.session.run(cut) for cut in cuts]
        save_arrays(Path(outputs), examples_first(joined(parts, self.specs), self.specs))

    def warm(self, inputs: str, seconds: float) -> Warmed:
        """Run until `seconds` and a minimum number of calls are over and the latency is stable, within a limit."""
        limit = time.perf_counter() + WARM_LIMIT * seconds
        times = self._timed(inputs, seconds, WARM_CALLS)
        while not (found := settle(times)).settled and time.perf_counter() < limit:
            times += self._timed(inputs, seconds, 1)
        return Warmed(len(times), found.calls, found.ms, found.settled)

    def block(self, inputs: str, seconds: float, calls: int) -> Timed:
        """Time single calls until both `seconds` and `calls` are over; nanoseconds each, and what the process saw.

        Raises:
            ParityFailed: the last call did not return what the first one did.
        """
        feeds, run = self._ready(inputs)
        elsewhere = self.session.cpu_ns if isinstance(self.session, TimesItself) else lambda: 0
        times, last, seen = watched(partial(run, feeds), seconds, calls, self._timer(feeds), elsewhere)
        self._same(inputs, last)
        return Timed(times, seen)

    def loop(self, inputs: str, loop: JsonObject, watched: str, seconds: float, outputs: str | None) -> Looped:
        """Run loops of a `Loop` from these first inputs; write what the last one made to `outputs`, if given."""
        feeds, run = self._ready(inputs)
        times, last = repeat(feeds, lambda fed: examples_first(run(fed), self.specs), read(Loop, loop), watched, seconds)
        if outputs:
            save_arrays(Path(outputs), {"steps": last})
        return Looped(times)

    def end_to_end_able(self) -> bool:
        """Whether calls from a raw example can be timed here: not where the engine lives in yet another process."""
        return not isinstance(self.session, TimesItself)

    def end_to_end(
        self, raw: str, scaling: JsonObject, labels: int, like: str | None, seconds: float, calls: int
    ) -> TimedParts:
        """Time calls from a raw example to the likeliest labels; nanoseconds of each, whole and by part.

        Args:
            raw: an NPZ with one raw example.
            scaling: a `Scaling`.
            labels: how many are looked for.
            like: an NPZ with the same example as model input: then the outputs must be those of its first run.
            seconds: at least so long.
            calls: at least so many.

        Raises:
            ParityFailed: the last call did not return what the first one did, or what the same example as input gave.
        """
        given, run = self._ready(raw)
        parts = Parts(given, read(Scaling, scaling), labels, run)
        if raw not in self.made:
            parts.warm(WARM_CALLS)
        times, last, seen = watched(parts, seconds, calls, parts.timed)
        if like is not None:
            self.made.setdefault(raw, self.made[like])
        self._same(raw, last)
        return TimedParts(times, seen, pre=parts.ns["pre"], inference=parts.ns["inference"], post=parts.ns["post"])

    def _timed(self, inputs: str, seconds: float, calls: int) -> list[int]:
        feeds, run = self._ready(inputs)
        timer = self._timer(feeds)
        times, last = timer(seconds, calls) if timer else time_calls(lambda: run(feeds), seconds, calls)
        self._same(inputs, last)
        return times

    def _timer(self, feeds: Arrays) -> Timer[Arrays] | None:
        """The session's own clock, where its engine lives in another process, so that the way there is not timed."""
        return partial(self.session.timed, feeds) if isinstance(self.session, TimesItself) else None

    def _ready(self, inputs: str) -> tuple[Arrays, Callable[[Arrays], Arrays]]:
        assert self.session is not None
        return self._inputs(inputs), self.session.run

    def _same(self, inputs: str, last: Arrays) -> None:
        """Hold the last timed outputs against the first run's, so that nothing timed was left out."""
        if inputs not in self.made:
            self.made[inputs] = copied(last)
        for name, expected in self.made[inputs].items():
            if not near(expected, last[name]):
                raise ParityFailed(f"the output {name!r} of a timed call is not that of the first call on the same inputs.")

    def outputs(self, inputs: str, outputs: str) -> None:
        """Write what the first run made of `inputs`; every timed call since was held against it."""
        save_arrays(Path(outputs), self.made[inputs])

    def memory(self) -> Memory:
        """The largest resident sets in MB of 10^6 bytes: of all so far, of loading, and since the file was loaded."""
        run = peak_rss_mb() + self._elsewhere_mb()
        return Memory(max(self.load_peak_mb, run), self.load_peak_mb, run)

    def pace(self, inputs: str, cut: JsonObject) -> float:
        """Samples per second of calls back to back, with as many samples in each as may share one."""
        from benchmarks.process.loadgen.requests import pace  # here, so that no cold start pays for it

        feeds, run = self._ready(inputs)
        return pace(run, feeds, cut)

    def loadgen(self, inputs: str, folder: str, plan: JsonObject, cut: JsonObject, pace: float, min_queries: int) -> LoadAnswer:
        """One run of LoadGen by a `LoadPlan` on samples by a `SampleCut`; what was answered, checked and seen.

        Raises:
            ParityFailed: the outputs under load are not those of plain runs.
        """
        from benchmarks.process.loadgen.requests import under_load

        feeds, run = self._ready(inputs)
        return under_load(run, feeds, Path(folder), plan, cut, pace, min_queries)

    def together(self, inputs: str, start_ns: int, seconds: float) -> TimedTogether:
        """Like `block`, but from a given moment of the monotonic clock on, so that several processes begin at once."""
        time.sleep(max(0, start_ns - time.monotonic_ns()) / 1e9)
        late_ms = (time.monotonic_ns() - start_ns) / 1e6
        timed = self.block(inputs, seconds, 1)
        return TimedTogether(timed.ns, timed.seen, late_ms=late_ms)

    def resident_mb(self) -> float | None:
        """What is in memory now, in MB of 10^6 bytes; none where the kernel does not say."""
        return resident_mb()

    def placement(self) -> PlacementRecord:
        """Which operators run where."""
        placed = self.session.placement() if isinstance(self.session, Placed) else NOT_PLACED
        told = dict(placed.accelerated), dict(placed.fallback)
        return PlacementRecord(*told, placed.fallback_share, placed.how)

    def layers(self, inputs: str) -> LayerTimes:
        """What each layer takes in a call on `inputs`, where the session is one of `TimesLayers`."""
        assert isinstance(self.session, TimesLayers), "its runtime's `session` says so"
        return self.session.layer_times(self._inputs(inputs))

    def tensors(self, inputs: str, outputs: str) -> Tensors:
        """Write every float tensor inside the file for one call, where the session is one of `ShowsTensors`.

        Returns: their names in the order of the computation; in the NPZ they are numbered from 0.

        Raises:
            ModelError: this session shows none, though others of its runtime do.
        """
        if not isinstance(self.session, ShowsTensors):
            raise ModelError("the runtime shows no tensors inside this kind of file.")
        found = self.session.tensors(self._inputs(inputs))
        save_arrays(Path(outputs), {str(number): value for number, value in enumerate(found.values())})
        return Tensors(list(found))


if __name__ == "__main__":
    serve(Worker())
