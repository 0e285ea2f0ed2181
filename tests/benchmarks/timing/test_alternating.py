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


def children():
    """Of this process, by number: the state (R, S, T, ...)."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == os.getpid():
            found[int(stat.parent.name)] = state
    return found


def run(code):
    """What the tool that ends with `code` gives, and of each slice: what was asked, the tool's state, the cores of both."""
    before, asked = set(children()), []

    def block(inputs, seconds, calls):
        tool = {pid: state for pid, state in children().items() if pid not in before}
        asked.append(((inputs, seconds, calls), list(tool.values()), [os.sched_getaffinity(pid) for pid in (0, *tool)]))
        return SimpleNamespace(ns=[len(asked)])

    child = SimpleNamespace(pid=os.getpid(), block=block)
    return alternated([sys.executable, "-c", TOOL, str(code)], "now timing", child, Path("one.npz")), asked


@pytest.fixture(autouse=True)
def cores():
    """The core that the test was held to is let go."""
    allowed = os.sched_getaffinity(0)
    yield
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), allowed)


def test_the_tool_stands_still_on_our_core_while_ours_is_timed(monkeypatch):
    monkeypatch.setattr("benchmarks.suites.alternating.time.sleep", lambda seconds: None)
    times, asked = run(0)
    assert len(times) > 3
    assert times == list(range(1, len(times) + 1))
    for arguments, states, (ours, theirs) in asked[:-1]:
        assert arguments == (Path("one.npz"), SLICE_SECONDS, SLICE_CALLS)
        assert states == ["T"]
        assert len(ours) == 1
        assert ours == theirs


def test_a_tool_that_fails_is_named_with_its_last_line():
    with pytest.raises(RuntimeError, match=r"ended with exit code 3: 3$"):
        run(3)


def test_a_tool_does_not_outlive_our_own_failure():
    before = set(children())
    with pytest.raises(ZeroDivisionError):
        alternated(
            [sys.executable, "-c", TOOL.replace("0.6", "600"), "0"],
            "now timing",
            SimpleNamespace(pid=os.getpid(), block=lambda *arguments: 1 / 0),
            Path("one.npz"),
        )
    assert set(children()) == before
