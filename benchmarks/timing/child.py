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
from typing import Any

from artifacts import errors
from artifacts.environments import child_environment
from artifacts.openmp import as_asked
from artifacts.types import Engine
from runtimes.registry import TARGETS

TIMEOUT = 600.0


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

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """One request and its answer.

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
            raise errors.StageCrashed(f"{self.engine.target} did not answer {do!r} in {self.timeout:.0f} s; see {self.log}.")
        if not line:
            code = self._process.wait()
            raise errors.StageCrashed(
                f"the process that ran {self.engine.target} died ({_death(code)}) at {do!r}; see {self.log}."
            )
        answer = json.loads(line)
        if "error" in answer:
            kind = getattr(errors, answer["kind"], errors.StageCrashed)
            raise kind(f"{self.engine.target}: {answer['error']}")
        result: dict[str, Any] = answer["ok"]
        return result

    def open(self, first: Path) -> dict[str, float]:
        """Load the engine and run the inputs of `first` once; the parts of the cold start in ms, and `total`."""
        parts = self.ask(
            "open",
            target=self.engine.target,
            path=str(self.engine.path),
            signature=asdict(self.engine.signature),
            threads=self.threads,
            first=str(first),
            options=dict(self.engine.options),
        )
        ended = parts.pop("ended_ns")
        parts["total"] = (ended - self.spawned) / 1e6
        parts["process"] = parts["total"] - sum(parts[k] for k in ("python", "import", "load", "first_run"))
        return parts

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
        return target.environment.module("benchmarks.timing.worker"), child_environment()
    paths = os.pathsep.join(p or os.getcwd() for p in sys.path)
    return [sys.executable, "-m", "benchmarks.timing.worker"], {**os.environ, "PYTHONPATH": paths}


def _death(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
