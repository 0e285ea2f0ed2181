"""The system under test: what LoadGen drives inside the process that holds the engine.

LoadGen calls back with queries; each is run and answered with the bytes of its outputs, alike in performance and in
accuracy mode. The engine stays in the thread that opened it: for a server, whose queries come while others are being
answered, LoadGen has the other thread.
"""

from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from types import ModuleType
from typing import Protocol

import numpy as np

from artifacts.errors import TargetUnavailable
from artifacts.types import Arrays
from benchmarks.process.loadgen.plan import LoadPlan
from benchmarks.process.loadgen.samples import Samples, address, packed

NAMES = {"single-stream": "SingleStream", "multi-stream": "MultiStream", "server": "Server", "offline": "Offline"}
LOGGED = 64
"""Samples whose outputs LoadGen logs in performance mode, so that they can be held against plain runs."""
SLACK = 1.3
"""Offline sends one query, which must be large enough for the minimum duration."""
SAMPLE_SECONDS = 2e-6
"""What LoadGen's Python binding takes for a sample of a large query, at the least."""

Run = Callable[[Arrays], Arrays]


class QuerySample(Protocol):
    """LoadGen's sample of a query."""

    id: int
    index: int


Query = list[QuerySample]


class Response(Protocol):
    """LoadGen's answer to a sample."""

    id: int


def load_generator() -> ModuleType:
    """LoadGen's Python module.

    Raises:
        TargetUnavailable: it is not installed.
    """
    try:
        import mlperf_loadgen
    except ModuleNotFoundError:
        raise TargetUnavailable("mlcommons-loadgen is not installed: pip install 'tightship[loadgen]'.") from None
    made: ModuleType = mlperf_loadgen
    return made


class System:
    """Answers queries, and counts what it did."""

    def __init__(self, run: Run, samples: Samples, most: int) -> None:
        self.run, self.samples, self.most = run, samples, most
        self.generator = load_generator()
        self.response, self.complete = self.generator.QuerySampleResponse, self.generator.QuerySamplesComplete
        self.slot: Slot | None = None
        self.queries = self.answered = self.calls = 0
        self.failed: Exception | None = None

    def answer(self, query: Query) -> None:
        """Run a query's samples, at most `most` in a call, and tell LoadGen of each call when it is done."""
        self.queries += 1
        if len(query) == 1:
            self._call(query)
            return
        for at in range(0, len(query), self.most):
            self._call(query[at : at + self.most])

    def serve(self, waiting: "SimpleQueue[Query | None]") -> None:
        """Answer queries as they come, those that wait together up to `most`, until none follows."""
        while (query := waiting.get()) is not None:
            together = list(query)
            self.queries += 1
            while len(together) < self.most and not waiting.empty():
                more = waiting.get()
                if more is None:
                    waiting.put(None)
                    break
                self.queries += 1
                together += more
            self._call(together)

    def _call(self, part: Query) -> None:
        """An exception must not run into LoadGen, which would end the process: it is kept, and all is answered empty."""
        self.calls += 1
        self.answered += len(part)
        try:
            if self.failed is None:
                self._one(part[0]) if len(part) == 1 else self._several(part)
                return
        except Exception as error:
            self.failed = error
        self.complete([self.response(sample.id, 0, 0) for sample in part])

    def _one(self, sample: QuerySample) -> None:
        outputs = self.run(self.samples.single[sample.index])
        slot = self.slot
        if slot is None or not slot.fits(outputs):
            slot = self.slot = Slot(outputs, self.response)
        slot.answer[0].id = sample.id
        self.complete(slot.answer)

    def _several(self, part: Query) -> None:
        made = packed(self.run(self.samples.feeds([sample.index for sample in part])), len(part))
        start, size = address(made), made.shape[1]
        self.complete([self.response(sample.id, start + i * size, size) for i, sample in enumerate(part)])


class Slot:
    """A place for one sample's outputs whose address stays, because asking for an address takes longer than the copy."""

    def __init__(self, outputs: Arrays, response: Callable[[int, int, int], Response]) -> None:
        arrays = [np.asarray(value) for value in outputs.values()]
        ends = np.cumsum([0, *(a.nbytes for a in arrays)])
        self.buffer = np.zeros(ends[-1], np.uint8)
        cuts = zip(arrays, ends, ends[1:], strict=False)
        self.views = [self.buffer[start:end].view(a.dtype).reshape(a.shape) for a, start, end in cuts]
        self.answer = [response(0, address(self.buffer), self.buffer.nbytes)]
        self.fits(outputs)

    def fits(self, outputs: Arrays) -> bool:
        """Copy the outputs in; false if they are not of this form."""
        for view, value in zip(self.views, outputs.values(), strict=True):
            if view.shape != value.shape or view.dtype != value.dtype:
                return False
            np.copyto(view, value)
        return True


def drive(system: System, folder: Path, plan: LoadPlan, pace: float, min_queries: int = 0) -> dict[str, int]:
    """One run of LoadGen; its logs are in `folder` afterwards.

    Args:
        system: what answers.
        folder: for the logs.
        plan: what LoadGen is asked for.
        pace: samples per second that the engine was seen to run.
        min_queries: at least so many; 0 leaves that to LoadGen.

    Returns:
        `queries`, `samples` and `calls` that were answered.
    """
    generator = system.generator
    folder.mkdir(parents=True, exist_ok=True)
    waiting: SimpleQueue[Query | None] = SimpleQueue()
    server = plan.scenario == "server"
    subject = generator.ConstructSUT(waiting.put if server else system.answer, lambda: None)
    count = system.samples.count
    library = generator.ConstructQSL(count, count, lambda indices: None, lambda indices: None)

    def test() -> None:
        try:
            settings = _settings(generator, plan, pace, min_queries)
            generator.StartTestWithLogSettings(subject, library, settings, _logs(generator, folder))
        finally:
            waiting.put(None)

    if server:
        thread = Thread(target=test)
        thread.start()
        system.serve(waiting)
        thread.join()
    else:
        test()
    generator.DestroyQSL(library)
    generator.DestroySUT(subject)
    if system.failed is not None:
        raise system.failed
    return {"queries": system.queries, "samples": system.answered, "calls": system.calls}


def _settings(generator: ModuleType, plan: LoadPlan, pace: float, min_queries: int) -> object:
    """LoadGen's own settings; what it expects of the engine only decides how many queries it prepares."""
    made = generator.TestSettings()
    made.scenario = getattr(generator.TestScenario, NAMES[plan.scenario])
    mode = generator.TestMode
    made.mode = mode.AccuracyOnly if plan.accuracy else mode.PerformanceOnly
    made.min_duration_ms = round(1000 * plan.seconds)
    made.accuracy_log_sampling_target = LOGGED
    if min_queries:
        made.min_query_count = min_queries
    # twice the pace: if the queries run out before the time is over, LoadGen calls the run invalid
    made.single_stream_expected_latency_ns = max(1, round(0.5e9 / pace))
    made.multi_stream_expected_latency_ns = max(1, round(0.5e9 * plan.query_samples / pace))
    made.multi_stream_samples_per_query = plan.query_samples
    made.offline_expected_qps = SLACK / (1 / pace + SAMPLE_SECONDS)
    if plan.scenario == "server" and plan.latency_bound_ms is not None:
        bound = plan.latency_bound_ms / 1000
        made.server_target_qps = plan.target_qps
        made.server_target_latency_ns = round(1e9 * bound)
        # with a backlog of ten bounds nothing can become valid any more, and draining it would take ever longer
        made.server_max_async_queries = max(100, round(10 * bound * pace))
    return made


def _logs(generator: ModuleType, folder: Path) -> object:
    made, output = generator.LogSettings(), generator.LogOutputSettings()
    output.outdir, output.copy_summary_to_stdout = str(folder), False
    made.log_output, made.enable_trace = output, False
    return made
