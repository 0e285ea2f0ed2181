"""Engines that are held against each other share a core for a turn, and what disturbs a slice spoils that slice alone."""

import os
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.process.child import Child
from benchmarks.process.stopwatch import Block
from benchmarks.timing import rounds
from benchmarks.timing.cores import OneCore, last_core
from benchmarks.timing.measure import Measured, MeasurePlan, measure

PLAN = MeasurePlan(processes=1, blocks=2, block_seconds=0.0, block_calls=10, warm_seconds=0.0, throughput_batch=0)
INPUTS = {"x": np.ones((1, 3), np.float32)}
HELD = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2, reason="one core, or none can be chosen"
)


@pytest.fixture
def pair(onnx_engine, tmp_path):
    with Child(onnx_engine(2.0), tmp_path / "a.log") as a, Child(onnx_engine(3.0), tmp_path / "b.log") as b:
        for child in (a, b):
            child.memory()
        yield a, b


@HELD
def test_all_stay_on_the_core_where_the_first_ran_until_the_turn_ends(pair):
    before = [os.sched_getaffinity(child.pid) for child in pair]
    core = OneCore(pair)
    with core.turn():
        core.follow(pair[0])
        held = [os.sched_getaffinity(child.pid) for child in pair]
        assert held[0] == held[1] == {last_core(pair[0].pid)}
        os.sched_setaffinity(pair[1].pid, before[1] - held[0])
        core.follow(pair[1])
        assert os.sched_getaffinity(pair[0].pid) == held[0], "only the first is followed"
    assert [os.sched_getaffinity(child.pid) for child in pair] == before


@HELD
@pytest.mark.parametrize("why", ["one engine", "two threads"])
def test_a_lone_engine_and_one_of_several_threads_go_where_they_like(pair, why):
    pair[1].threads = 2
    core = OneCore(pair[:1] if why == "one engine" else pair)
    with core.turn():
        core.follow(pair[0])
        assert len(os.sched_getaffinity(pair[0].pid)) > 1


@HELD
@pytest.mark.parametrize(
    ("target", "options", "held"),
    [
        ("onnxruntime-cpu", {"intra_op_threads": 2}, False),
        ("onnxruntime-cpu", {"intra_op_threads": 1}, True),
        ("onnxruntime-cpu", {"spinning": False, "notes": ["a builder's"]}, True),
        ("known to the child alone", {"threads": 2}, True),
    ],
)
def test_the_threads_that_a_targets_options_ask_for_count(pair, target, options, held):
    pair[1].engine = replace(pair[1].engine, target=target, options=options)
    core = OneCore(pair)
    with core.turn():
        core.follow(pair[0])
        assert (len(os.sched_getaffinity(pair[0].pid)) == 1) is held


@HELD
def test_an_option_of_one_thread_holds_a_row_that_the_recipe_gives_two(pair):
    for child in pair:
        child.threads, child.engine = 2, replace(child.engine, options={"intra_op_threads": 1})
    core = OneCore(pair)
    with core.turn():
        core.follow(pair[0])
        assert len(os.sched_getaffinity(pair[0].pid)) == 1


@HELD
def test_a_process_that_has_died_is_let_go(pair):
    core = OneCore(pair)
    pair[1].close()
    with core.turn():
        core.follow(pair[0])
    assert last_core(pair[1].pid) is None


def test_engines_take_turns_after_every_slice_on_one_core(onnx_engine, tmp_path, monkeypatch):
    seen = []

    class Watched(OneCore):
        def follow(self, child):
            super().follow(child)
            seen.append((child.pid, last_core(child.pid)))

    monkeypatch.setattr(rounds, "OneCore", Watched)
    found = measure({"a": onnx_engine(2.0), "b": onnx_engine(3.0)}, INPUTS, PLAN, tmp_path / "work")
    assert [one.slice_calls for one in found.values()] == [[[2] * 10]] * 2
    pids = {pid for pid, _ in seen}
    assert [{pid for pid, _ in seen[i : i + 2]} for i in range(0, len(seen), 2)] == [pids] * 10
    for turn in (seen[:10], seen[10:]):
        assert len({core for _, core in turn[1:]}) == 1


@pytest.mark.parametrize(
    ("calls", "slices", "found"), [(10, 5, [2] * 5), (4, 5, [2, 2]), (1, 5, [1]), (10, 1, [10]), (11, 3, [4] * 3)]
)
def test_a_slice_has_two_calls_at_least_and_a_block_as_many_as_asked(onnx_engine, tmp_path, calls, slices, found):
    plan = replace(PLAN, blocks=1, block_calls=calls, slices=slices)
    assert measure({"a": onnx_engine()}, INPUTS, plan, tmp_path / "work")["a"].slice_calls == [found]


def test_a_slow_second_of_one_engine_does_not_decide_the_ratio():
    quiet = Measured([[1.0] * 10], [[2] * 5])
    stormy = Measured([[1.1] * 6 + [9.0] * 4], [[2] * 5])
    assert stormy.slices_ms == [[1.1, 1.1, 1.1, 9.0, 9.0]]
    assert quiet.speedup_over(stormy).ratio == pytest.approx(1.1)
    # both slow at once: the medians of all calls would be 1.0 against 4.4
    assert Measured([[1, 1, 4, 4, 1, 1]], [[2, 2, 2]]).ratios(
        Measured([[1.1, 1.1, 4.4, 4.4, 4.4, 4.4]], [[2, 2, 2]])
    ) == pytest.approx([1.1])


def test_slices_are_judged_as_one_block():
    parts = [Block(100, 90, 5, 1, 30), Block(200, 180, None, 0, 90), Block(300, 310, 7, 2, 31)]
    assert Block.merged(parts) == Block(600, 580, None, 3, 31)
    assert Block.merged(parts[::2]).waited_ns == 12
