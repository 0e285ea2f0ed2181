"""Calls from a raw example to its labels: the parts, the code that both sides share, and that nothing is left out."""

import numpy as np
import pytest

from artifacts.errors import ParityFailed
from artifacts.pictures import likeliest, prepare
from benchmarks.process.end_to_end import Parts, Scaling
from benchmarks.timing.measure import MeasurePlan, measure
from benchmarks.timing.rounds import EndToEnd
from tightship.pipeline.stages.measuring.energy import end_to_end, raw_example
from zoo.data import from_factory
from zoo.readers import read_digits
from zoo.splits import Preprocessing

PLAN = MeasurePlan(processes=2, blocks=4, block_seconds=0.0, block_calls=6, warm_seconds=0.0, throughput_batch=2)
SCALING = Scaling(0.5, (1.0, 0.0, 0.0), (2.0, 1.0, 1.0))
RAW = np.asarray([4, 8, 2], np.uint8).reshape(1, 3, 1, 1)
READY = np.asarray([0.5, 4.0, 1.0], np.float32).reshape(1, 3)


def test_pixels_become_input_by_channel():
    made = prepare(RAW, **vars(SCALING))
    assert made.dtype == np.float32
    assert made.reshape(1, 3).tolist() == READY.tolist()
    assert np.array_equal(made, Preprocessing(0.5, (1.0, 0.0, 0.0), (2.0, 1.0, 1.0)).apply(RAW))


def test_labels_come_with_their_shares_the_likeliest_first():
    first, shares = likeliest(np.log(np.asarray([[0.2, 0.7, 0.1]])), 2)
    assert first.tolist() == [[1, 0]]
    assert shares[0].tolist() == pytest.approx([0.7, 0.2])
    assert likeliest(np.asarray([[1e9, 0.0]]), 5)[1].tolist() == [[1.0, 0.0]]


def test_the_parts_of_a_call_add_up_to_the_whole_and_warm_ones_do_not_count():
    parts = Parts({"x": RAW}, SCALING, 2, lambda fed: {"y": fed["x"].reshape(1, 3)})
    parts.warm(3)
    times, last = parts.timed(0.0, 7)
    assert len(times) == 7
    assert times == [sum(one) for one in zip(*parts.ns.values(), strict=True)]
    assert last["y"].tolist() == READY.tolist()


@pytest.fixture
def flat(onnx_engine):
    """An engine that takes pictures of one pixel."""
    import onnx
    from onnx import TensorProto, helper

    engine = onnx_engine()
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 1, 1]),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])]  # fmt: skip
    graph = helper.make_graph([helper.make_node("Flatten", ["x"], ["y"])], "g", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), engine.path)
    return engine


def test_each_process_times_its_parts(flat, tmp_path):
    whole = EndToEnd({"x": RAW}, SCALING, same=True)
    found = measure({"a": flat}, {"x": prepare(RAW, **vars(SCALING))}, PLAN, tmp_path / "work", whole=whole)["a"]
    assert found.whole_calls == 2 * 2 * 6
    record = end_to_end(found, whole)
    assert (record.samples, record.processes, record.raw, record.labels) == (24, 2, "uint8 1x3x1x1", 5)
    parts = (record.pre, record.inference, record.post)
    assert all(0 < part.p50 <= part.p90 and part.p50_ci95[0] <= part.p50 <= part.p50_ci95[1] for part in parts)
    assert record.whole.p50 > max(part.p50 for part in parts)


def test_without_a_raw_example_nothing_is_recorded(flat, tmp_path):
    found = measure({"a": flat}, {"x": prepare(RAW, **vars(SCALING))}, PLAN, tmp_path / "work")["a"]
    assert (found.whole_ms, end_to_end(found, None)) == ([], None)


def test_another_example_than_the_checked_one_ends_the_measurement(flat, tmp_path):
    whole = EndToEnd({"x": RAW + 1}, SCALING, same=True)
    with pytest.raises(ParityFailed, match="not that of the first call"):
        measure({"a": flat}, {"x": prepare(RAW, **vars(SCALING))}, PLAN, tmp_path / "work", whole=whole)


def test_data_with_preprocessing_has_a_raw_example_and_other_data_says_why_not():
    digits = read_digits()
    whole, reason = raw_example(digits)
    assert (reason, whole.same) == (None, True)
    ready = prepare(whole.raw["image"], **vars(whole.scaling))
    assert np.array_equal(ready, digits.test.batch(np.arange(1))[0]["image"])
    rows = np.zeros((4, 3), np.float32), np.zeros(4, np.int64)
    whole, reason = raw_example(from_factory("mine:data", (rows, rows)))
    assert whole is None
    assert "no preprocessing" in reason
