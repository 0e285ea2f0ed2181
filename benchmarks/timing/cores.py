"""Processes that are held against each other take a turn on one core, so that what disturbs it disturbs all of them alike.

Left to the scheduler, one process may sit for a second beside a busy neighbor (the other thread of a core, another guest) and
its rival beside a quiet one: two equal files then differ by a third, and no counter of the guest shows it.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path

from benchmarks.process.child import Child
from runtimes.registry import TARGETS

LAST_CORE = 36
"""Where `/proc/PID/stat` says on which core a thread ran last, counted from what follows the command's name (proc(5))."""


class OneCore:
    """Holds the timed threads of several processes to one core, which the scheduler chose for the first of them."""

    def __init__(self, children: Iterable[Child]) -> None:
        self._pids = [child.pid for child in children if _single(child)]
        self._held = False

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Afterwards the scheduler is free again."""
        self._held = len(self._pids) < 2
        # a process that has died says so when it is asked
        allowed = {pid: mask for pid in self._pids if (mask := _allowed(pid))}
        try:
            yield
        finally:
            for pid, mask in allowed.items():
                _hold(pid, mask)

    def follow(self, child: Child) -> None:
        """All go where this one has just run; only the first of a turn is followed."""
        if self._held or child.pid not in self._pids:
            return
        self._held = True
        core = last_core(child.pid)
        if core is not None:
            for pid in self._pids:
                _hold(pid, {core})


def last_core(pid: int) -> int | None:
    """The core on which the first thread of a process ran last; none where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[LAST_CORE])
    except (OSError, ValueError, IndexError):
        return None


def _single(child: Child) -> bool:
    """Whether calls run in the thread that was asked for them: several threads need several cores."""
    target = TARGETS.get(child.engine.target)  # a runtime may be known to the child alone
    if target is None:
        return child.threads == 1
    known = {f.name for f in fields(target.options_kind())}  # an engine carries notes of its builder besides
    options = target.read_options({name: value for name, value in child.engine.options.items() if name in known})
    return (options.threads or child.threads) == 1


def _allowed(pid: int) -> set[int]:
    try:
        return os.sched_getaffinity(pid)
    except (OSError, AttributeError):
        return set()


def _hold(pid: int, cores: set[int]) -> None:
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setaffinity(pid, cores)
