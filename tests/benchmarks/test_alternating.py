"""A tool that is timed in slices with a process of ours: one runs while the other stands still."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.suites.alternating import SLICE_CALLS, SLICE_SECONDS, alternated

TOOL = """
import sys, time
print("loading")
print("now timing calls")
until = time.monotonic() + 0.6
while time.monotonic() < until:
    sum(range(1000))
print(sys.argv[1])
sys.exit(int(sys.argv[1]))
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")


def states(parent):
    """The states (R, S, T, ...) of a process's children."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(ppid) == parent:
            found[int(stat.parent.name)] = state
    return found


def run(code, before):
    """What the tool that ends with `code` gives, and what was asked of our side."""
    asked = []

    def ask(do, **arguments):
        asked.append((do, arguments, sorted(state for pid, state in states(os.getpid()).items() if pid not in before)))
        return {"ns": [len(asked)]}

    child = SimpleNamespace(pid=os.getpid(), ask=ask)
    return alternated([sys.executable, "-c", TOOL, str(code)], "now timing", child, Path("one.npz")), asked


@pytest.fixture(autouse=True)
def cores():
    """The core that the test was held to is let go."""
    allowed = os.sched_getaffinity(0)
    yield
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), allowed)


def test_the_tool_stands_still_while_ours_is_timed(monkeypatch):
    monkeypatch.setattr("benchmarks.suites.alternating.time.sleep", lambda seconds: None)
    times, asked = run(0, states(os.getpid()))
    assert len(times) > 3
    assert times == list(range(1, len(times) + 1))
    assert all(state == ["T"] for _, _, state in asked[:-1])
    assert asked[0][:2] == ("block", {"inputs": "one.npz", "seconds": SLICE_SECONDS, "calls": SLICE_CALLS})


def test_a_tool_that_fails_is_named_with_its_last_line():
    with pytest.raises(RuntimeError, match=r"ended with exit code 3: 3$"):
        run(3, states(os.getpid()))
