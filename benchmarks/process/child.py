"""The parent's side of a measuring child process."""

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from artifacts import errors
from artifacts.deaths import death
from artifacts.environments import child_environment
from artifacts.json import JsonValue, read
from artifacts.openmp import as_asked
from artifacts.records.measured import PlacementRecord
from artifacts.records.roofline import LayerTimes
from artifacts.types import Engine
from benchmarks.process.answers import (
    ColdStart,
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
from benchmarks.process.end_to_end import Scaling
from benchmarks.process.loadgen.plan import LoadPlan, SampleCut
from benchmarks.process.loop import Loop
from runtimes.registry import TARGETS

TIMEOUT = float(os.environ.get("TIGHTSHIP_TIMEOUT") or 600)
"""Seconds that a process may take for an answer before it is ended."""

T = TypeVar("T")


class Child:
    """One engine in a process of its own; a crash or a hang becomes one clear sentence with the path of the log."""

    def __init__(self, engine: Engine, log: Path, threads: int = 1, timeout: float = TIMEOUT) -> None:
        self.engine, self.log, self.threads, self.timeout = engine, log, threads, timeout
        log.parent.mkdir(parents=True, exist_ok=True)
        # a library that sizes its thread pool from the environment must get the same answer everywhere
        sizes = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        command, environment = _worker(engine.target)
        self.spawned = time.monotonic_ns()
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                env={**as_asked(environment), **sizes},
            )

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def ask(self, do: str, **arguments: JsonValue) -> JsonValue:
        """One request and its answer, as JSON.

        Raises:
            TightshipError: what the child says went wrong.
            StageCrashed: the child died or did not answer in time.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write((json.dumps({"do": do, **arguments}) + "\n").encode())
            self._process.stdin.flush()
            ready, _, _ = select.select([self._process.stdout], [], [], self.timeout)
            line = self._process.stdout.readline() if ready else None
        except BrokenPipeError:
            line = b""
        if line is None:
            self._process.kill()
            late = f"{self.engine.target} did not answer {do!r} in {self.timeout:.0f} s; see {self.log}."
            raise errors.StageCrashed(late).about(self.engine)
        if not line:
            code = self._process.wait()
            raise errors.StageCrashed(
                f"the process that ran {self.engine.target} died ({death(code)}) at {do!r}; see {self.log}."
            ).about(self.engine)
        answer = json.loads(line)
        if "error" in answer:
            kind = getattr(errors, answer["kind"], errors.StageCrashed)
            raise kind(f"{self.engine.target}: {answer['error']}").about(self.engine)
        result: JsonValue = answer["ok"]
        return result

    def _read(self, kind: type[T], do: str, **arguments: JsonValue) -> T:
        return read(kind, self.ask(do, **arguments))

    def open(self, first: Path) -> ColdStart:
        """Load the engine and run the inputs of `first` once; how long that took since the process was started."""
        found = self._read(
            Opened,
            "open",
            target=self.engine.target,
            path=str(self.engine.path),
            signature=asdict(self.engine.signature),
            threads=self.threads,
            first=str(first),
            options=dict(self.engine.options),
        )
        total = (found.ended_ns - self.spawned) / 1e6
        return ColdStart(found.python, found.imports, found.load, found.first_run, total, found.load_rss_mb)

    def run(self, inputs: Path, outputs: Path, batch: int) -> None:
        """Run a whole file of examples, `batch` at a time, and write the outputs."""
        self.ask("run", inputs=str(inputs), outputs=str(outputs), batch=batch)

    def warm(self, inputs: Path, seconds: float) -> Warmed:
        """Run at least `seconds`, until the latency is stable or a limit is reached."""
        return self._read(Warmed, "warm", inputs=str(inputs), seconds=seconds)

    def block(self, inputs: Path, seconds: float, calls: int) -> Timed:
        """Time single calls until both `seconds` and `calls` are over.

        Raises:
            ParityFailed: the last call did not return what the first one did.
        """
        return self._read(Timed, "block", inputs=str(inputs), seconds=seconds, calls=calls)

    def loop(self, inputs: Path, loop: Loop, watched: str, seconds: float, outputs: Path | None = None) -> Looped:
        """Run loops from these first inputs until `seconds` are over; see `Worker.loop`."""
        told = {"inputs": str(inputs), "loop": asdict(loop), "outputs": str(outputs) if outputs else None}
        return self._read(Looped, "loop", **told, watched=watched, seconds=seconds)

    def together(self, inputs: Path, start_ns: int, seconds: float) -> TimedTogether:
        """Time calls for `seconds` from a given moment of the monotonic clock on."""
        return self._read(TimedTogether, "together", inputs=str(inputs), start_ns=start_ns, seconds=seconds)

    def end_to_end_able(self) -> bool:
        """Whether calls from a raw example can be timed there."""
        return bool(self.ask("end_to_end_able"))

    def end_to_end(self, raw: Path, scaling: Scaling, labels: int, like: Path | None, seconds: float, calls: int) -> TimedParts:
        """Time calls from a raw example to the likeliest labels, whole and by part; see `Worker.end_to_end`.

        Raises:
            ParityFailed: the last call did not return what the first one did, or what the same example as input gave.
        """
        same_as = str(like) if like else None
        return self._read(
            TimedParts,
            "end_to_end",
            raw=str(raw),
            scaling=asdict(scaling),
            labels=labels,
            like=same_as,
            seconds=seconds,
            calls=calls,
        )

    def outputs(self, inputs: Path, outputs: Path) -> None:
        """Write what the first run made of `inputs`; every timed call since was held against it."""
        self.ask("outputs", inputs=str(inputs), outputs=str(outputs))

    def memory(self) -> Memory:
        """The largest resident sets so far."""
        return self._read(Memory, "memory")

    def resident_mb(self) -> float | None:
        """What is in memory now, in MB of 10^6 bytes; none where the kernel does not say."""
        found = self.ask("resident_mb")
        return found if isinstance(found, float) else None

    def pace(self, inputs: Path, cut: SampleCut) -> float:
        """Samples per second of calls back to back, with as many samples in each as may share one."""
        found = self.ask("pace", inputs=str(inputs), cut=asdict(cut))
        assert isinstance(found, float)
        return found

    def loadgen(self, inputs: Path, folder: Path, plan: LoadPlan, cut: SampleCut, pace: float, min_queries: int) -> LoadAnswer:
        """One run of LoadGen, whose logs go to `folder`; see `benchmarks.process.loadgen.system.drive`.

        Raises:
            ParityFailed: the outputs under load are not those of plain runs.
        """
        return self._read(
            LoadAnswer, "loadgen", inputs=str(inputs), folder=str(folder), plan=asdict(plan), cut=asdict(cut), pace=pace,
            min_queries=min_queries,
        )  # fmt: skip

    def placement(self) -> PlacementRecord:
        """Which operators run where."""
        return self._read(PlacementRecord, "placement")

    def layers(self, inputs: Path) -> LayerTimes:
        """What each layer takes in a call on `inputs`, where the runtime says so."""
        return self._read(LayerTimes, "layers", inputs=str(inputs))

    def tensors(self, inputs: Path, outputs: Path) -> list[str]:
        """Write every float tensor inside the file for one call, numbered from 0; their names, in order."""
        return self._read(Tensors, "tensors", inputs=str(inputs), outputs=str(outputs)).names

    def end(self) -> None:
        """Tell the process to end, without waiting until it has."""
        if self._process.stdin:
            # a child that is dead already cannot be told
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def close(self) -> None:
        """End the process."""
        self.end()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


def _worker(name: str) -> tuple[list[str], dict[str, str]]:
    """The command line of a target's worker, and its environment variables."""
    target = TARGETS.get(name)  # a runtime may be known to the child alone
    if target is not None and target.environment is not None:
        return target.environment.module("benchmarks.process.worker"), child_environment()
    paths = os.pathsep.join(p or os.getcwd() for p in sys.path)
    return [sys.executable, "-m", "benchmarks.process.worker"], {**os.environ, "PYTHONPATH": paths}
