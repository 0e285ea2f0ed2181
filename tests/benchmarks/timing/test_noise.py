"""What others do to the machine is seen by each of three signs, and a machine that shows none is not called quiet."""

import subprocess
import sys
import time

import psutil
import pytest

from benchmarks.process.stopwatch import Block, clock_step_ns, preempted, spin_ns, waited_ns, watched
from benchmarks.timing import noise
from benchmarks.timing.noise import Counters, NoiseMonitor

QUIET = Block(wall_ns=200_000_000, cpu_ns=200_000_000, waited_ns=1_000_000, preempted=1, spin_ns=1_000_000)


def block(**changes):
    return Block(**{**vars(QUIET), **changes})


def counters(seconds, busy=0.0, stolen=0.0, own=0.0):
    return Counters(100.0 + seconds, 1000.0 + busy, 10.0 + stolen, 5.0 + own)


@pytest.fixture
def judged(monkeypatch):
    """Judges one turn of one second on two cores in which the machine was busy for so long."""

    def judge(*blocks, **after):
        watch = NoiseMonitor()
        watch.cores = 2
        monkeypatch.setattr(noise.Counters, "now", classmethod(lambda cls: counters(1.0, **after)))
        turn = watch.turn(blocks, counters(0.0))
        watch.keep(turn)
        return turn, watch.record()

    return judge


def test_a_quiet_turn_is_not_disturbed(judged):
    turn, record = judged(QUIET, QUIET, busy=0.45, own=0.02)
    assert turn.reasons == []
    assert not record.disturbed
    assert record.foreign_cores == pytest.approx(0.45 - 0.02 - 0.4)
    assert record.lost_share == pytest.approx(0.005)


@pytest.mark.parametrize(
    ("changes", "after", "reason"),
    [
        ({"waited_ns": 11_000_000}, {}, "waited for a core"),
        ({}, {"busy": 0.7}, "other processes ran"),
        ({}, {"stolen": 0.05}, "other guests took time"),
        ({"spin_ns": 1_300_000}, {}, "a fixed loop ran slower than its best"),
    ],
)
def test_each_sign_alone_marks_a_turn(judged, changes, after, reason):
    turn, record = judged(QUIET, block(**changes), **{"busy": 0.4, **after})
    assert turn.reasons == [reason]
    assert record.disturbed
    assert record.reasons == (reason,)
    assert (record.turns, record.disturbed_turns) == (1, 1)


def test_what_is_not_readable_is_none_and_not_zero(monkeypatch):
    monkeypatch.setattr(noise.Counters, "now", classmethod(lambda cls: None))
    watch = NoiseMonitor()
    watch.look_first(seconds=0)
    watch.keep(watch.turn([block(waited_ns=None)], None))
    record = watch.record()
    assert (record.foreign_cores, record.foreign_cores_before, record.steal_share, record.lost_share) == (None,) * 4
    assert record.slowest_spin == 1.0
    assert not record.disturbed


def test_counters_that_stand_at_zero_are_no_counters(monkeypatch):
    empty = psutil.cpu_times()._replace(**dict.fromkeys(psutil.cpu_times()._fields, 0.0))
    monkeypatch.setattr(psutil, "cpu_times", lambda: empty)
    assert Counters.now() is None


def test_a_turn_of_milliseconds_is_too_short_for_the_counters(monkeypatch):
    monkeypatch.setattr(noise.Counters, "now", classmethod(lambda cls: counters(0.005, busy=0.01)))
    turn = NoiseMonitor().turn([block(wall_ns=1000, waited_ns=900)], counters(0.0))
    assert (turn.foreign_cores, turn.reasons) == (None, [])


@pytest.mark.skipif(Counters.now() is None, reason="this kernel keeps no CPU times")
def test_a_process_of_others_is_seen():
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        watch = NoiseMonitor()
        watch.look_first(0.5)
    finally:
        busy.kill()
        busy.wait()
    assert watch.before is not None
    assert watch.before > 0.3


@pytest.mark.skipif(waited_ns() is None, reason="this kernel does not say how long a thread waited")
def test_a_thread_that_shares_its_core_is_seen_to_wait():
    # as many busy processes as cores, and one more: each must wait
    cores = len(psutil.Process().cpu_affinity() or [0])
    rivals = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * cores)]
    try:
        time.sleep(0.3)
        _, _, found = watched(lambda: sum(range(1000)), seconds=1.0, calls=1)
    finally:
        for rival in rivals:
            rival.kill()
            rival.wait()
    assert found.lost is not None
    assert found.lost > noise.LOST_LIMIT
    assert found.preempted > 0
    assert found.cpu_ns < found.wall_ns


def test_the_probes_are_plausible():
    assert 0 < clock_step_ns() < 1_000_000
    assert spin_ns() > 10_000
    assert preempted() >= 0


def test_times_hold_both_minima_and_the_last_result():
    calls = []
    times, last, _ = watched(lambda: calls.append(1) or len(calls), seconds=0.0, calls=12)
    assert len(times) == last == len(calls) == 12
    times, last, _ = watched(lambda: time.sleep(0.001), seconds=0.05, calls=1)
    assert sum(times) >= 0.045e9
