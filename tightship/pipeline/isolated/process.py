"""The parent's side of the process that makes files: started at the first step, and again after it died."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.deaths import death
from artifacts.errors import StageCrashed
from benchmarks.process.child import TIMEOUT
from compress.losses import LOSSES
from compress.quantizers import QUANTIZERS
from export.registry import FORMATS
from tightship.pipeline.isolated.messages import Answer, Done, Failed, Order, Said
from tightship.pipeline.stages.results import StageResult
from tightship.planning.steps import Kind
from zoo.metrics import METRICS

if TYPE_CHECKING:
    Line = Connection[Order, Answer]

ISOLATED: tuple[Kind, ...] = ("export", "convert", "guard", "sensitivity")
"""The kinds of steps in which converters run."""

BOOT = """\
import sys
sys.path[:] = {paths!r}
from tightship.pipeline.isolated.watchdog import watch
watch({line})
from tightship.pipeline.isolated.worker import main
main({line})
"""
"""The same modules are found as here: `-m` and PYTHONPATH would put the working folder or themselves in front."""

LOOK = 0.2
"""Seconds between looks at whether it lives: what it has forked may hold its end of the line open."""


def knows_all() -> bool:
    """Whether a new process has all plugs that this one has: not those that a caller added for this process alone."""
    return not any(registry.added for registry in (FORMATS, QUANTIZERS, LOSSES, METRICS))


class IsolatedProcess:
    """Does one step after the other in a process of its own, so that PyTorch is loaded once."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self.timeout = timeout
        """Seconds without a word of it after which it is ended."""
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Line | None = None

    def do(self, order: Order, progress: Callable[[float, str], None]) -> StageResult:
        """Have a step done; what it says of its progress is passed on.

        Raises:
            TightshipError: what the step raised.
            StageCrashed: the process died, or was ended because nothing was heard of it for too long; names its log.
        """
        process, line = self._started(order.log)
        try:
            answer = self._answer(process, line, order, progress)
        except BaseException:  # also where the user interrupts: it must not write into folders that are cleared away
            self._kill()
            raise
        if isinstance(answer, Failed):
            raise answer.error()
        return answer.result

    def _answer(
        self, process: "subprocess.Popen[bytes]", line: "Line", order: Order, progress: Callable[[float, str], None]
    ) -> Done | Failed:
        heard, last = time.monotonic(), ""
        try:
            line.send(order)
            while True:
                if line.poll(LOOK):
                    answer = line.recv()
                    if not isinstance(answer, Said):
                        return answer
                    heard, last = time.monotonic(), answer.message or last
                    progress(answer.share, answer.message)
                elif process.poll() is not None and not line.poll():
                    break
                elif time.monotonic() - heard > self.timeout:
                    after = f" since {last!r}" if last else ""
                    raise StageCrashed(
                        f"{order.step}: nothing was heard of it{after} for {self.timeout:.0f} s, so it was ended; "
                        f"TIGHTSHIP_TIMEOUT gives it more seconds; see {order.log}."
                    )
        except (EOFError, ConnectionError):
            pass
        code = process.wait()
        raise StageCrashed(f"{order.step}: its process died ({death(code)}); see {order.log}.")

    def _started(self, log: Path) -> "tuple[subprocess.Popen[bytes], Line]":
        if self._process is not None and self._line is not None and self._process.poll() is None:
            return self._process, self._line
        self._kill()
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        ours, theirs = Pipe()
        code = BOOT.format(paths=sys.path, line=theirs.fileno())
        with log.open("ab") as stream, theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-X", "faulthandler", "-c", code],
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=stream,
                pass_fds=(theirs.fileno(),),
                process_group=0,
            )
        self._line = ours
        return self._process, ours

    def _kill(self) -> None:
        """End it and all that it started, at once."""
        if self._process is not None:
            # the watcher is in it as long as we hold its standard input, so the number is nobody else's
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            assert self._process.stdin is not None
            self._process.stdin.close()
        if self._line is not None:
            self._line.close()
        self._process = self._line = None

    def close(self) -> None:
        """End it; it has nothing to do."""
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        self._kill()
