"""Every engine is measured in every round, in processes of its own, on the examples it was given."""

from dataclasses import replace

import numpy as np
import pytest

from artifacts.arrays import load_arrays
from artifacts.errors import ParityFailed, StageCrashed
from benchmarks.machine import describe, other_versions, same_machine
from benchmarks.timing import starting
from benchmarks.timing.measure import Measured, MeasurePlan, _write_inputs, measure
from benchmarks.timing.noise import NoiseMonitor

PLAN = MeasurePlan(processes=2, blocks=3, block_seconds=0.0, block_calls=4, warm_seconds=0.0, throughput_batch=8)
INPUTS = {"x": np.arange(9, dtype=np.float32).reshape(3, 3)}


def test_every_engine_and_every_round_has_its_samples(onnx_engine, tmp_path):
    told = []
    engines = {"a/fp32": onnx_engine(2.0), "b/int8": onnx_engine(3.0)}
    found = measure(engines, INPUTS, PLAN, tmp_path / "work", lambda share, message: told.append(share))
    assert list(found) == ["a/fp32", "b/int8"]
    for one in found.values():
        assert [len(r) for r in one.rounds_ms] == [12, 12]
        assert len(one.samples) == 24
        assert min(one.samples) > 0
        assert one.medians == [float(np.median(r)) for r in one.rounds_ms]
        assert len(one.cold_ms) == len(one.peak_rss_mb) == 2
        assert all(c.total > c.load > 0 for c in one.cold_ms)
        assert one.throughput_per_s > 0
        assert len(one.warmups) == len(one.rss_load_mb) == len(one.rss_run_mb) == 2
        assert all(peak >= load > 1 for peak, load in zip(one.peak_rss_mb, one.rss_load_mb, strict=True))
    np.testing.assert_array_equal(found["b/int8"].outputs["y"], INPUTS["x"][:1] * 3)
    assert found["a/fp32"].noise == found["b/int8"].noise
    assert found["a/fp32"].noise.turns == 6
    assert told == sorted(told)
    assert 0 <= min(told) <= max(told) <= 1
    assert {p.name for p in (tmp_path / "work").iterdir()} == {"one.npz", "many.npz", "a-fp32.log", "b-int8.log"}


@pytest.mark.parametrize(("plan", "one", "many"), [({}, 1, 8), ({"latency_batch": 3, "throughput_batch": 3}, 3, 3)])
def test_latency_takes_the_first_examples_and_throughput_goes_round(onnx_engine, tmp_path, plan, one, many):
    made = MeasurePlan(
        **{"processes": 1, "blocks": 1, "block_seconds": 0.0, "warm_seconds": 0.0, "throughput_batch": 8, **plan}
    )
    measure({"a": onnx_engine()}, INPUTS, made, tmp_path / "work")
    np.testing.assert_array_equal(load_arrays(tmp_path / "work" / "one.npz")["x"], INPUTS["x"][:one])
    np.testing.assert_array_equal(load_arrays(tmp_path / "work" / "many.npz")["x"], INPUTS["x"][np.arange(many) % 3])


@pytest.fixture
def events(monkeypatch):
    """What is asked of which process, in order."""
    events = []

    class Watched(starting.Child):
        def __init__(self, engine, log, threads=1):
            super().__init__(engine, log, threads)
            events.append(("born", self._process.pid))

        def ask(self, do, **arguments):
            events.append((do, self._process.pid))
            return super().ask(do, **arguments)

    monkeypatch.setattr(starting, "Child", Watched)
    return events


def test_without_cold_starts_as_many_processes_start_together_as_have_cores(onnx_engine, tmp_path, events, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1}, raising=False)
    plan = replace(PLAN, processes=1, cold=False, throughput_batch=0)
    found = measure({name: onnx_engine(2.0) for name in "abc"}, INPUTS, plan, tmp_path / "work")
    before = [what for what, _ in events[: [what for what, _ in events].index("block")]]
    assert sorted(before) == sorted(["born", "open", "warm"] * 3)
    born = [at for at, what in enumerate(before) if what == "born"]
    assert born[1] < before.index("warm") < born[2]
    assert all(not one.throughput_per_s and len(one.warmups) == 1 for one in found.values())


def test_the_processes_of_a_round_are_fresh_and_live_side_by_side(onnx_engine, tmp_path, events):
    measure({"a": onnx_engine(2.0), "b": onnx_engine(3.0)}, INPUTS, PLAN, tmp_path / "work")
    born = [pid for what, pid in events if what == "born"]
    assert len(set(born)) == 4
    for pair in (born[:2], born[2:]):
        order = [pid for what, pid in events if what == "block" and pid in pair][:6]
        assert [sorted(order[i : i + 2]) for i in (0, 2, 4)] == [sorted(pair)] * 3, "blocks take turns"
    last_of_first_round = max(i for i, (_, pid) in enumerate(events) if pid in born[:2])
    assert last_of_first_round < min(i for i, (_, pid) in enumerate(events) if pid in born[2:])


def test_where_no_cold_start_is_wanted_processes_start_side_by_side(onnx_engine, tmp_path, events):
    engines = {"a": onnx_engine(2.0), "b": onnx_engine(3.0)}
    for cold in (True, False):
        events.clear()
        found = measure(engines, INPUTS, replace(PLAN, cold=cold), tmp_path / "work")
        told = [what for what, _ in events]
        assert (told.index("born", 1) > told.index("warm")) is cold
        assert [len(one.cold_ms) for one in found.values()] == ([2, 2] if cold else [0, 0])
        assert [len(one.rounds_ms) for one in found.values()] == [2, 2]


def test_a_crash_of_one_engine_ends_the_measurement_with_its_log(moody, onnx_engine, tmp_path):
    with pytest.raises(StageCrashed, match=r"moody died \(signal 11, SIGSEGV\).*bad\.log"):
        measure({"good": onnx_engine(), "bad": moody("crash")}, INPUTS, PLAN, tmp_path / "work")


def test_a_speed_up_is_the_baselines_time_over_ones_own():
    slow, fast = Measured([[4.0, 4.0], [8.0]]), Measured([[2.0], [4.0]])
    assert fast.speedup_over(slow).ratio == pytest.approx(2)
    assert slow.speedup_over(fast).ratio == pytest.approx(0.5)


class Restless(NoiseMonitor):
    """Calls the first turns disturbed, as many as it is told."""

    def __init__(self, turns):
        super().__init__()
        self.left = turns

    def turn(self, blocks, begun):
        found = super().turn(blocks, begun)
        found.reasons = ["a storm"] if self.left > 0 else []
        self.left -= 1
        return found


@pytest.mark.parametrize(("stormy", "repeats", "again", "disturbed"), [(2, 3, 2, 0), (5, 3, 3, 2), (2, 0, 0, 2), (0, 3, 0, 0)])
def test_a_disturbed_turn_is_timed_again_within_a_limit(onnx_engine, tmp_path, stormy, repeats, again, disturbed):
    plan = MeasurePlan(**{**vars(PLAN), "repeats": repeats})
    found = measure({"a": onnx_engine()}, INPUTS, plan, tmp_path / "work", watch=Restless(stormy))["a"]
    assert [len(r) for r in found.rounds_ms] == [12, 12], "what is thrown away does not count"
    assert (found.noise.repeated, found.noise.disturbed_turns, found.noise.turns) == (again, disturbed, 6)
    assert found.noise.disturbed == bool(disturbed)
    assert found.noise.reasons == (("a storm",) if disturbed else ())


def test_a_process_that_returns_something_else_ends_the_measurement(moody, tmp_path):
    with pytest.raises(ParityFailed, match="gave another 'y' in another process"):
        measure({"a": moody("by process")}, INPUTS, PLAN, tmp_path / "work")


def test_inputs_that_are_not_one_row_per_example_go_in_as_they_are(tmp_path):
    given = {"x": np.arange(2.0)[:, None], "state": np.zeros((5, 1))}
    one, many = _write_inputs(given, MeasurePlan(latency_batch=3, throughput_batch=4), tmp_path)
    assert {k: v.shape for k, v in load_arrays(one).items()} == {"x": (3, 1), "state": (5, 1)}
    assert load_arrays(many)["x"][:, 0].tolist() == [0, 1, 0, 1]


def test_what_differs_between_two_machines_is_named():
    here = describe()
    assert same_machine(here, here) == ()
    other = replace(here, cores=here.cores + 6, governor="powersave", memory_gb=here.memory_gb * 1.001)
    assert same_machine(here, other) == (
        f"cores {here.cores} and {here.cores + 6}",
        f"governor {here.governor or 'none'} and powersave",
    )
    assert other.fingerprint() != here.fingerprint()
    newer = replace(here, versions={**here.versions, "onnxruntime": "99.0"})
    assert same_machine(here, newer) == ()
    assert other_versions(here, newer) == (f"onnxruntime {here.versions['onnxruntime']} and 99.0",)


def test_the_machine_is_described_whole():
    machine = describe()
    assert machine.cpu
    assert machine.cores >= 1
    assert {"torch", "onnx", "onnxruntime", "numpy", "tightship"} <= set(machine.versions)
    assert machine.fingerprint() == describe().fingerprint()
