"""A child that crashes, hangs, raises or chatters is a normal answer with the path of its log."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from artifacts.arrays import load_arrays, save_arrays
from artifacts.errors import DataError, ModelError, ParityFailed, StageCrashed, TargetUnavailable
from artifacts.records.measured import PlacementRecord
from benchmarks.process.child import Child
from benchmarks.process.memory import peak_rss_mb


def test_a_child_runs_times_and_places_an_engine(moody, first, tmp_path):
    inputs = {"x": np.arange(15, dtype=np.float32).reshape(5, 3)}
    save_arrays(tmp_path / "in.npz", inputs)
    with Child(moody("well"), tmp_path / "log") as child:
        cold = child.open(first)
        child.run(tmp_path / "in.npz", tmp_path / "out.npz", batch=2)
        times = child.block(first, seconds=0, calls=7).ns
        assert child.warm(first, seconds=0).calls == 20
        placed = child.placement()
    np.testing.assert_array_equal(load_arrays(tmp_path / "out.npz")["y"], inputs["x"] + 1)
    assert len(times) == 7
    assert min(times) > 0
    assert placed == PlacementRecord({"Add": 3}, {"Softmax": 1}, 0.25, "as given")
    parts = cold.times_ms()
    assert {"python", "import", "load", "first_run", "process", "total"} == set(parts)
    assert min(parts.values()) > 0
    assert parts["total"] == pytest.approx(sum(parts[k] for k in ("process", "python", "import", "load", "first_run")))


@pytest.mark.parametrize(("mood", "death"), [("crash", f"signal {int(signal.SIGSEGV)}"), ("exit", "exit code 7")])
def test_a_death_is_told_with_its_cause_and_its_log(moody, first, tmp_path, mood, death):
    log = tmp_path / "logs" / "child.log"
    with pytest.raises(StageCrashed) as caught, Child(moody(mood), log) as child:
        child.open(first)
    assert death in str(caught.value)
    assert "'open'" in str(caught.value)
    assert str(log) in str(caught.value)
    assert caught.value.exit_code == 4
    if mood == "crash":
        assert "the last words" in log.read_text()


def test_a_child_that_died_between_two_requests_is_told_alike(moody, first, tmp_path):
    child = Child(moody("well"), tmp_path / "log")
    child.open(first)
    child._process.kill()
    child._process.wait()
    with pytest.raises(StageCrashed, match=r"signal 9.*'memory'"), child:
        child.memory()


def test_a_hang_ends_at_the_time_limit_and_leaves_no_process(moody, first, tmp_path):
    child = Child(moody("hang"), tmp_path / "log", timeout=5)
    with pytest.raises(StageCrashed, match=r"did not answer 'open' in 5 s; see .*log"), child:
        child.open(first)
    assert child._process.returncode == -signal.SIGKILL


def test_an_error_in_the_child_is_one_sentence(moody, first, tmp_path):
    with pytest.raises(StageCrashed) as caught, Child(moody("raise"), tmp_path / "log") as child:
        child.open(first)
    assert "moody: KeyError" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_error_of_ours_keeps_its_kind_and_its_exit_code(moody, first, tmp_path, onnx_engine):
    with pytest.raises(TargetUnavailable, match="out for lunch"), Child(moody("absent"), tmp_path / "log") as child:
        child.open(first)
    engine = onnx_engine()
    engine.path.write_bytes(b"no model")
    with pytest.raises(ModelError, match="cannot open"), Child(engine, tmp_path / "log") as child:
        child.open(first)


def test_a_child_outlives_an_error(moody, first, tmp_path):
    with Child(moody("well"), tmp_path / "log") as child:
        child.open(first)
        with pytest.raises(DataError, match=r"none\.npz"):
            child.warm(tmp_path / "none.npz", seconds=0)
        assert child.memory().peak_rss_mb > 1


def test_what_a_library_prints_goes_to_the_log_and_not_between_the_answers(moody, first, tmp_path):
    log = tmp_path / "log"
    with Child(moody("chatty"), log) as child:
        child.open(first)
        assert child.warm(first, seconds=0).calls == 20
    text = log.read_text()
    for said in ("not the answer", "nor this", "a child of the child"):
        assert said in text


def test_the_threads_asked_for_reach_the_child(moody, first, tmp_path):
    with Child(moody("well"), tmp_path / "log", threads=3) as child:
        child.open(first)
        environment = Path(f"/proc/{child._process.pid}/environ").read_bytes().split(b"\0")
    assert b"OMP_NUM_THREADS=3" in environment


@pytest.mark.parametrize(("ours", "left"), [("1000", set()), ("", {b"GOMP_SPINCOUNT=1000"})], ids=["ours", "the user's"])
def test_what_is_timed_waits_as_the_user_said_and_not_as_we_train(moody, first, tmp_path, monkeypatch, ours, left):
    monkeypatch.setenv("GOMP_SPINCOUNT", "1000")
    monkeypatch.setenv("TIGHTSHIP_SPINCOUNT", ours)
    with Child(moody("well"), tmp_path / "log") as child:
        child.open(first)
        environment = Path(f"/proc/{child.pid}/environ").read_bytes().split(b"\0")
    assert {entry for entry in environment if b"SPINCOUNT" in entry} == left


def test_peak_memory_is_the_childs_own_and_not_its_parents(tmp_path, environment):
    program = (
        "import subprocess, sys\n"
        "block = bytearray(500_000_000)\n"
        "block[::4096] = b'x' * len(block[::4096])\n"
        "from benchmarks.process.memory import peak_rss_mb\n"
        "own = peak_rss_mb()\n"
        "code = 'from benchmarks.process.memory import peak_rss_mb; print(peak_rss_mb())'\n"
        "print(own, subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout)\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    parent, child = map(float, done.stdout.split())
    assert parent > 500
    assert 5 < child < 250


def test_peak_memory_stays_after_memory_is_given_back():
    before = peak_rss_mb()
    block = bytearray(int(before * 1e6) + 200_000_000)
    block[::4096] = b"x" * len(block[::4096])
    del block
    assert peak_rss_mb() > before + 100


@pytest.mark.parametrize("mood", ["drift", "drift in one buffer"])
def test_a_timed_call_that_returns_something_else_is_no_measurement(moody, first, tmp_path, mood):
    with Child(moody(mood), tmp_path / "log") as child:
        child.open(first)
        with pytest.raises(ParityFailed, match="'y' of a timed call is not that of the first call"):
            child.block(first, seconds=0, calls=5)


def test_loading_and_running_have_peaks_of_their_own(moody, first, tmp_path):
    peaks = {}
    for mood in ("well", "heavy", "hungry"):
        with Child(moody(mood), tmp_path / "log") as child:
            child.open(first)
            child.block(first, seconds=0, calls=5)
            peaks[mood] = child.memory()
    assert peaks["heavy"].load_rss_mb > peaks["well"].load_rss_mb + 60
    assert peaks["hungry"].load_rss_mb < peaks["well"].load_rss_mb + 10
    assert peaks["hungry"].run_rss_mb > peaks["well"].run_rss_mb + 40
    for found in peaks.values():
        assert found.peak_rss_mb == max(found.load_rss_mb, found.run_rss_mb)


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="this kernel keeps one peak for all")
def test_the_peak_of_running_forgets_that_of_loading(moody, first, tmp_path):
    with Child(moody("heavy"), tmp_path / "log") as child:
        child.open(first)
        found = child.memory()
    assert found.run_rss_mb < found.load_rss_mb - 40


def test_a_block_says_what_its_process_saw(moody, first, tmp_path):
    with Child(moody("well"), tmp_path / "log") as child:
        child.open(first)
        seen = child.block(first, seconds=0.02, calls=1).seen
    assert seen.wall_ns >= 0.02e9
    assert seen.cpu_ns > 0
    assert seen.spin_ns > 0


def test_warm_up_is_found_and_not_only_waited_for(moody, first, tmp_path):
    with Child(moody("well"), tmp_path / "log") as child:
        child.open(first)
        warm = child.warm(first, seconds=0.02)
    assert 0 <= warm.warm_calls <= warm.calls
    assert warm.calls >= 20
