"""A benchmark tool of someone else's, timed in slices with a process of ours: one core, one runs while the other stands still.

A tool that is run for a second, and ours for the next, meet two different moments of the machine; on a virtual machine these
differ more than the tools do. Here the tool is stopped and continued (SIGSTOP, SIGCONT) in the midst of its run. That makes one
call of each of its slices longer: of 20 calls, its median becomes the quantile 0.53 of what it would have been.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.process.child import Child
from benchmarks.timing.cores import last_core

SLICE_SECONDS, SLICE_CALLS = 0.1, 20
"""A slice takes at least both."""


def alternated(command: Sequence[str], begins: str, child: Child, one: Path) -> list[int]:
    """Run the tool from start to end, with slices of the child's calls in between; nanoseconds of each of these.

    Args:
        command: the tool, which prints `begins`, times calls one after the other, and ends by itself.
        begins: a part of that line.
        child: has opened its engine and is warm.
        one: the NPZ with its inputs.

    Raises:
        RuntimeError: the tool failed; the last line that it wrote.
    """
    tool = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    assert tool.stdout is not None
    try:
        lines = list(_until(begins, tool.stdout))
        times = _slices(tool, child, one)
        lines += tool.stdout.readlines()
    finally:
        tool.kill()  # what is stopped would stand for ever; one that has ended is not hurt
        tool.wait()
    if tool.returncode:
        last = (lines or ["nothing"])[-1].strip()
        raise RuntimeError(f"{Path(command[0]).name} ended with exit code {tool.returncode}: {last}")
    return times


def _until(begins: str, lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield line
        if begins in line:
            return


def _slices(tool: "subprocess.Popen[str]", child: Child, one: Path) -> list[int]:
    """The child's calls until the tool ends, which runs as long as each slice took."""
    times, core = [], last_core(child.pid) or 0
    while tool.poll() is None:
        for pid in (tool.pid, child.pid):
            hold(pid, core)  # a tool starts threads as it goes
        tool.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, tool.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)  # until it stands still, or has ended
        begun = time.perf_counter()
        times += child.block(one, SLICE_SECONDS, SLICE_CALLS).ns
        tool.send_signal(signal.SIGCONT)
        time.sleep(time.perf_counter() - begun)
    return times


def hold(pid: int, core: int) -> None:
    """Keep every thread of a process on one core; threads that end meanwhile do not matter."""
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                os.sched_setaffinity(int(thread.name), {core})
