"""The child process that holds one engine: it opens it, runs it and times it, as its parent says.

Requests and answers are JSON lines. The child's own standard output goes to its log, so that a chatty library cannot
break the conversation; answers leave through a descriptor of their own.
"""

import time

STARTED = time.monotonic_ns()

import json  # noqa: E402  the start of the process is stamped before anything is imported
import os  # noqa: E402
import sys  # noqa: E402
from dataclasses import asdict  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

from artifacts.arrays import load_arrays, save_arrays  # noqa: E402
from artifacts.errors import TightshipError  # noqa: E402
from artifacts.specs import Signature  # noqa: E402
from artifacts.types import Arrays, Engine, Session  # noqa: E402
from runtimes.registry import find  # noqa: E402

WARM_CALLS = 20


class Worker:
    """One engine and what can be asked of it."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.feeds: dict[str, Arrays] = {}

    def open(self, target: str, path: str, signature: dict[str, Any], threads: int, first: str) -> dict[str, float]:
        """Load the engine and run it once; milliseconds for each part of the cold start since the process began."""
        begun = time.monotonic_ns()
        runtime = find(target).runtime()
        runtime.probe()
        imported = time.monotonic_ns()
        self.session = runtime.open(Engine(target, Path(path), Signature.from_json(signature)), threads)
        loaded = time.monotonic_ns()
        self.session.run(self._inputs(first))
        ran = time.monotonic_ns()
        return {
            "python": (begun - STARTED) / 1e6,
            "import": (imported - begun) / 1e6,
            "load": (loaded - imported) / 1e6,
            "first_run": (ran - loaded) / 1e6,
            "ended_ns": float(ran),
            "load_rss_mb": peak_rss_mb(),
        }

    def _inputs(self, path: str) -> Arrays:
        if path not in self.feeds:
            self.feeds[path] = load_arrays(Path(path))
        return self.feeds[path]

    def run(self, inputs: str, outputs: str, batch: int) -> dict[str, int]:
        """Run a whole file of examples, `batch` at a time, and write the outputs."""
        assert self.session is not None
        feeds = self._inputs(inputs)
        total = len(next(iter(feeds.values())))
        parts = [
            self.session.run({n: np.ascontiguousarray(v[i : i + batch]) for n, v in feeds.items()})
            for i in range(0, total, batch)
        ]
        merged = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        save_arrays(Path(outputs), merged)
        return {"examples": total}

    def warm(self, inputs: str, seconds: float) -> dict[str, int]:
        """Run until both `seconds` and a minimum number of calls are over."""
        return {"calls": len(self._timed(inputs, seconds, WARM_CALLS))}

    def block(self, inputs: str, seconds: float, calls: int) -> dict[str, list[int]]:
        """Time single calls until both `seconds` and `calls` are over; nanoseconds each."""
        return {"ns": self._timed(inputs, seconds, calls)}

    def _timed(self, inputs: str, seconds: float, calls: int) -> list[int]:
        assert self.session is not None
        feeds, run, clock = self._inputs(inputs), self.session.run, time.perf_counter_ns
        times: list[int] = []
        end = clock() + int(seconds * 1e9)
        while len(times) < calls or clock() < end:
            before = clock()
            run(feeds)
            times.append(clock() - before)
        return times

    def memory(self) -> dict[str, float]:
        """The largest resident set so far, in MB of 10^6 bytes."""
        return {"peak_rss_mb": peak_rss_mb()}

    def placement(self) -> dict[str, Any]:
        """Which operators run where."""
        assert self.session is not None
        placed = self.session.placement()
        return {**asdict(placed), "fallback_share": placed.fallback_share}


def peak_rss_mb() -> float:
    """This process's peak resident set in MB.

    Read from the kernel's own high-water mark: `getrusage` would hand down the parent's peak across fork and exec.
    """
    try:
        text = Path("/proc/self/status").read_text()
        kilobytes = next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM"))
        return kilobytes * 1024 / 1e6
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def serve() -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer: dict[str, Any] = {"ok": getattr(worker, request.pop("do"))(**request)}
        except TightshipError as error:
            answer = {"error": str(error), "kind": type(error).__name__}
        except Exception as error:
            # some libraries write paragraphs
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}", "kind": "StageCrashed"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    serve()
