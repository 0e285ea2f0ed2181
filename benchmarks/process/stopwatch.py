"""Time single calls, and see what happened to their process meanwhile. Standard library only: a child may lack all else."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

Timer = Callable[[float, int], tuple[list[int], T]]
"""(seconds, calls) -> nanoseconds of single calls, and what the last one returned."""


@dataclass(frozen=True)
class Block:
    """What a child saw while it timed one block."""

    wall_ns: int
    cpu_ns: int
    """CPU time of all threads of the child, that of the busy loop included."""
    waited_ns: int | None
    preempted: int
    spin_ns: int

    @classmethod
    def merged(cls, parts: "Sequence[Block]") -> "Block":
        """Several, as one; the busy loop by its median, so that one moment does not count for all."""
        waited = [part.waited_ns for part in parts if part.waited_ns is not None]
        return cls(
            sum(part.wall_ns for part in parts),
            sum(part.cpu_ns for part in parts),
            sum(waited) if len(waited) == len(parts) else None,
            sum(part.preempted for part in parts),
            sorted(part.spin_ns for part in parts)[len(parts) // 2],
        )

    @property
    def lost(self) -> float | None:
        """Share of the block's time that its thread waited for a core."""
        return None if self.waited_ns is None or not self.wall_ns else self.waited_ns / self.wall_ns


def time_calls(call: Callable[[], T], seconds: float, calls: int) -> tuple[list[int], T]:
    """Nanoseconds of single calls, one at least, until both `seconds` and `calls` are over, and what the last one returned."""
    clock = time.perf_counter_ns
    times: list[int] = []
    end = clock() + int(seconds * 1e9)
    while True:
        before = clock()
        last = call()
        times.append(clock() - before)
        if len(times) >= calls and clock() >= end:
            return times, last


def watched(
    call: Callable[[], T],
    seconds: float,
    calls: int,
    timer: Timer[T] | None = None,
    elsewhere_ns: Callable[[], int] = lambda: 0,
) -> tuple[list[int], T, Block]:
    """`time_calls` with what the process saw while it timed.

    Args:
        call: what is timed.
        seconds: at least so long.
        calls: at least so many.
        timer: times the calls instead, where an engine that lives in another process has a clock of its own.
        elsewhere_ns: the CPU time that such other processes have used.
    """

    def spent_ns() -> int:
        return time.process_time_ns() + elsewhere_ns()

    waited, lost, cpu, wall = waited_ns(), preempted(), spent_ns(), time.perf_counter_ns()
    times, last = timer(seconds, calls) if timer else time_calls(call, seconds, calls)
    wall, lost, after = time.perf_counter_ns() - wall, preempted() - lost, waited_ns()
    spent = None if waited is None or after is None else after - waited
    used, spin = spent_ns() - cpu, spin_ns()
    return times, last, Block(wall, used, spent, lost, spin)


def waited_ns() -> int | None:
    """How long this thread has been ready to run but waited for a core; none where the kernel does not say."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None


def preempted() -> int:
    """How often this process lost its core before it gave it up."""
    try:
        import resource
    except ImportError:  # Windows has no such count
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def spin_ns() -> int:
    """How long a fixed busy loop takes: the median of five, so that a single preemption does not show."""
    clock, found = time.perf_counter_ns, []
    for _ in range(5):
        before = clock()
        for _ in range(10_000):
            pass
        found.append(clock() - before)
    return sorted(found)[2]


def clock_step_ns() -> int:
    """The smallest step that the clock was seen to take, in nanoseconds: no call is known better than this."""
    clock, steps = time.perf_counter_ns, []
    for _ in range(2000):
        before = now = clock()
        while now == before:
            now = clock()
        steps.append(now - before)
    return min(steps)
