"""Every engine is measured in every round, in processes of its own, on the examples it was given."""

import numpy as np
import pytest

from artifacts.arrays import load_arrays
from artifacts.errors import StageCrashed
from benchmarks import measure as module
from benchmarks.machine import describe
from benchmarks.measure import Measured, MeasurePlan, measure

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
        assert all(c["total"] > c["load"] > 0 for c in one.cold_ms)
        assert one.throughput_per_s > 0
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


def test_the_processes_of_a_round_are_fresh_and_live_side_by_side(onnx_engine, tmp_path, monkeypatch):
    events = []

    class Watched(module.Child):
        def __init__(self, engine, log, threads=1):
            super().__init__(engine, log, threads)
            events.append(("born", self._process.pid))

        def ask(self, do, **arguments):
            events.append((do, self._process.pid))
            return super().ask(do, **arguments)

    monkeypatch.setattr(module, "Child", Watched)
    measure({"a": onnx_engine(2.0), "b": onnx_engine(3.0)}, INPUTS, PLAN, tmp_path / "work")
    born = [pid for what, pid in events if what == "born"]
    assert len(set(born)) == 4
    for pair in (born[:2], born[2:]):
        order = [pid for what, pid in events if what == "block" and pid in pair][:6]
        assert [sorted(order[i : i + 2]) for i in (0, 2, 4)] == [sorted(pair)] * 3, "blocks take turns"
    last_of_first_round = max(i for i, (_, pid) in enumerate(events) if pid in born[:2])
    assert last_of_first_round < min(i for i, (_, pid) in enumerate(events) if pid in born[2:])


def test_a_crash_of_one_engine_ends_the_measurement_with_its_log(moody, onnx_engine, tmp_path):
    with pytest.raises(StageCrashed, match=r"moody died \(signal 11\).*bad\.log"):
        measure({"good": onnx_engine(), "bad": moody("crash")}, INPUTS, PLAN, tmp_path / "work")


def test_a_speed_up_is_the_baselines_time_over_ones_own():
    slow, fast = Measured([[4.0, 4.0], [8.0]]), Measured([[2.0], [4.0]])
    assert fast.speedup_over(slow).ratio == pytest.approx(2)
    assert slow.speedup_over(fast).ratio == pytest.approx(0.5)


def test_the_machine_is_described_whole():
    machine = describe()
    assert machine.cpu
    assert machine.cores >= 1
    assert {"torch", "onnx", "onnxruntime", "numpy", "tightship"} <= set(machine.versions)
    assert machine.fingerprint() == describe().fingerprint()
