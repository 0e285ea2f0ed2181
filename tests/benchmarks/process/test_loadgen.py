"""LoadGen drives a real engine in its child: its verdicts as it wrote them, its outputs as plain runs make them."""

import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from artifacts.arrays import load_arrays
from artifacts.errors import ModelError, ParityFailed, RequestError, TargetUnavailable
from artifacts.specs import Signature, TensorSpec
from artifacts.types import Engine
from benchmarks.process.loadgen.checks import check_logged
from benchmarks.process.loadgen.logs import SUMMARY, read_log
from benchmarks.process.loadgen.plan import SCENARIOS, LoadPlan
from benchmarks.process.loadgen.samples import Samples, like, packed
from benchmarks.process.loadgen.system import System, drive
from benchmarks.scenarios.loadgen import Loaded, SampleSet, highest

pytest.importorskip("mlperf_loadgen", reason="MLPerf LoadGen is missing: pip install 'tightship[loadgen]'")

COUNT = 16
X = np.random.default_rng(0).standard_normal((COUNT, 3)).astype(np.float32)
SERVER = {"target_qps": 3000.0, "latency_bound_ms": 100.0}


def plan(scenario, **more):
    return LoadPlan(scenario, **{"seconds": 0.3, **(SERVER if scenario == "server" else {}), **more})


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """An ONNX engine that doubles its inputs, open in its process."""
    folder = tmp_path_factory.mktemp("load")
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 3]) for n in ("x", "y")]
    weight = numpy_helper.from_array(np.full(1, 2, np.float32), "w")
    graph = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    save(model, folder / "double.onnx")
    x, y = (TensorSpec(n, "float32", ("batch", 3)) for n in ("x", "y"))
    engine = Engine("onnxruntime-cpu", folder / "double.onnx", Signature((x,), (y,)))
    with Loaded(engine, SampleSet({"x": X}, COUNT, 1, True), plan("server", find_qps=True, target_qps=None), folder) as opened:
        yield opened


@pytest.fixture
def under_load(loaded, request):
    """Runs LoadGen by a plan; the logs are named for the test."""
    return lambda asked: loaded.run(re.sub(r"\W", "-", request.node.name), asked)


def in_this_process(run, feeds, folder, most=1, pace=5000.0, **asked):
    """Drives LoadGen against a function."""
    system = System(run, Samples(feeds, COUNT), most)
    return system, drive(system, folder, LoadPlan(**{"scenario": "single-stream", "seconds": 0.1, **asked}), pace)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_verdict_is_that_of_loadgens_own_summary(under_load, scenario):
    run = under_load(plan(scenario))
    summary = (Path(run.folder) / SUMMARY).read_text()
    assert run.log.valid == ("Result is : VALID" in summary)
    assert run.log.valid != ("Result is : INVALID" in summary)
    constraints = [line.strip().lower() for line in summary.splitlines() if " satisfied" in line]
    assert set(run.log.unmet) == {line.partition(" satisfied")[0] for line in constraints if line.endswith("no")}
    assert run.log.scenario.lower() == scenario.replace("-", "")
    assert f"min_duration (ms): {run.log.settings['min_duration_ms']}" in summary
    assert run.answered["queries"] == run.log.queries
    assert run.checked > 0


def test_percentiles_and_estimates_are_those_of_the_summary(under_load):
    run = under_load(plan("single-stream"))
    summary = (Path(run.folder) / SUMMARY).read_text()
    for name, words in (("p50", "50.00 percentile latency (ns)   : "), ("p99.9", "99.90 percentile latency (ns)   : ")):
        assert f"{words}{round(run.log.percentiles_ms[name] * 1e6)}" in summary
    assert f"90.0th percentile estimate: {round(run.log.estimates_ms['p90'] * 1e6)}" in summary
    assert run.log.percentiles_ms["min"] <= run.log.percentiles_ms["p50"] <= run.log.estimates_ms["p90"]
    assert run.answered == {"queries": run.log.queries, "samples": run.log.queries, "calls": run.log.queries}


def test_samples_of_a_multi_stream_query_share_a_call(under_load):
    run = under_load(plan("multi-stream", samples_per_query=5))
    assert run.answered["samples"] == 5 * run.log.queries
    assert run.answered["calls"] == run.log.queries
    assert run.log.settings["samples_per_query"] == 5


def test_offline_is_one_query_that_lasts_long_enough(under_load):
    run = under_load(plan("offline", batch=4))
    assert run.log.queries == 1
    assert run.answered["calls"] == -(-run.answered["samples"] // 4)
    assert run.log.per_s["samples_per_second"] > 0


def test_a_server_gets_as_many_queries_as_a_poisson_process_sends(under_load):
    run = under_load(plan("server"))
    expected = SERVER["target_qps"] * 0.3
    assert abs(run.answered["queries"] - expected) < 6 * expected**0.5
    # a fixed rhythm would hit the rate exactly
    assert run.log.per_s["scheduled_samples_per_sec"] != pytest.approx(SERVER["target_qps"], rel=1e-6)
    assert run.log.overlatency is not None


def test_too_few_queries_are_never_valid(under_load):
    run = under_load(plan("server", target_qps=200.0))
    assert run.log.valid is False
    assert "early stopping" in run.log.unmet
    assert "more queries" in run.log.early_stopping


def test_a_latency_bound_that_cannot_be_kept_is_named(under_load):
    run = under_load(plan("server", latency_bound_ms=0.001))
    assert run.log.valid is False
    assert "performance constraints" in run.log.unmet
    assert run.log.overlatency == run.log.queries


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_accuracy_mode_returns_every_sample_as_plain_runs_do(under_load, scenario):
    run = under_load(plan(scenario, accuracy=True))
    np.testing.assert_array_equal(load_arrays(Path(run.folder) / "outputs.npz")["y"], 2 * X)
    assert run.checked == COUNT
    assert run.log.valid is None
    assert run.log.mode == "AccuracyOnly"


def test_several_outputs_of_several_kinds_keep_their_bytes(tmp_path):
    def run(inputs):
        x = inputs["x"]
        return {"twice": 2 * x, "largest": x.argmax(1), "positive": x > 0}

    system, _ = in_this_process(run, {"x": X}, tmp_path, most=4, scenario="offline", accuracy=True)
    assert check_logged(tmp_path, system.samples, run, every=True) == COUNT
    made = load_arrays(tmp_path / "outputs.npz")
    for name, value in run({"x": X}).items():
        np.testing.assert_array_equal(made[name], value)
        assert made[name].dtype == value.dtype


def test_outputs_whose_sizes_differ_are_kept_apart(tmp_path):
    def run(inputs):
        return {"found": np.flatnonzero(inputs["x"] > 0)}

    system, _ = in_this_process(run, {"x": X}, tmp_path, accuracy=True)
    assert check_logged(tmp_path, system.samples, run, every=True) == COUNT
    assert load_arrays(tmp_path / "outputs.npz").keys() == {f"found.{i}" for i in range(COUNT)}


def test_work_that_is_left_out_under_load_is_found(tmp_path):
    calls = iter(range(10**9))

    def lazy(inputs):
        return {"y": 2 * inputs["x"] if next(calls) < 3 else np.zeros_like(inputs["x"])}

    system, _ = in_this_process(lazy, {"x": X}, tmp_path)
    with pytest.raises(ParityFailed, match="under load, sample"):
        check_logged(tmp_path, system.samples, lambda inputs: {"y": 2 * inputs["x"]}, every=False)


@pytest.mark.parametrize("scenario", ["single-stream", "server"])
def test_an_exception_under_load_ends_the_test_and_not_the_process(tmp_path, scenario):
    calls = iter(range(10**9))

    def run(inputs):
        if next(calls) >= 5:
            raise ModelError("no more.")
        return {"y": inputs["x"]}

    with pytest.raises(ModelError, match="no more"):
        in_this_process(run, {"x": X}, tmp_path, **vars(plan(scenario)) | {"seconds": 0.1})


def test_queries_that_wait_together_share_a_call(tmp_path):
    def run(inputs):
        time.sleep(0.004)
        return {"y": inputs["x"]}

    asked = {"scenario": "server", "target_qps": 1000.0, "latency_bound_ms": 200.0, "pace": 1000.0}
    _, answered = in_this_process(run, {"x": X}, tmp_path, most=8, **asked)
    assert answered["samples"] == answered["queries"]
    assert answered["calls"] < 0.6 * answered["queries"]


def test_a_backlog_without_hope_ends_early(tmp_path):
    def run(inputs):
        time.sleep(0.002)
        return {"y": inputs["x"]}

    asked = {"scenario": "server", "target_qps": 20_000.0, "latency_bound_ms": 5.0, "pace": 500.0, "seconds": 5.0}
    started = time.monotonic()
    in_this_process(run, {"x": X}, tmp_path, **asked)
    assert time.monotonic() - started < 5
    log = read_log(tmp_path)
    assert log.valid is False
    assert "Too many outstanding queries" in log.errors[0]


def test_the_highest_valid_rate_is_searched_with_few_runs(loaded):
    best, tried = loaded.find_qps(runs=3)
    assert 1 <= len(tried) <= 3
    assert all(run.log.queries >= 1000 or not run.log.valid for run in tried)
    assert (best.target_qps if best else None) == max((r.target_qps for r in tried if r.valid), default=None)


@pytest.mark.parametrize(("limit", "found"), [(70.0, 68.75), (99.9, 96.875), (10.0, 9.765625), (0.1, None)])
def test_bisection_ends_within_its_width_below_the_limit(limit, found):
    tried = []

    def valid(rate):
        tried.append(rate)
        return rate <= limit

    assert highest(valid, 100.0, 8) == found
    assert len(tried) <= 8


def test_samples_of_a_file_with_a_fixed_batch_are_whole_calls():
    feeds = {"x": np.arange(12.0).reshape(6, 2), "rate": np.asarray(16000)}
    samples = Samples(feeds, 3, per=2)
    np.testing.assert_array_equal(samples.single[2]["x"], feeds["x"][4:])
    assert samples.single[2]["rate"] == 16000
    np.testing.assert_array_equal(samples.feeds([2, 0])["x"], feeds["x"][[4, 5, 0, 1]])


def test_an_output_that_cannot_be_cut_into_samples_is_refused():
    with pytest.raises(ModelError, match=r"'y' is not one row per sample.*--batch 1"):
        packed({"y": np.zeros(5)}, 2)


def test_bytes_of_another_size_are_told():
    assert like(bytes(8), {"y": np.zeros(3, np.float32)}) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scenario": "server", "target_qps": 10.0}, "needs --latency-bound-ms"),
        ({"scenario": "server", "latency_bound_ms": 10.0}, "needs --target-qps.*--find-qps"),
        ({"scenario": "server", "latency_bound_ms": 10.0, "target_qps": -1.0}, "--target-qps must be above 0, not -1"),
        ({"scenario": "server", "latency_bound_ms": 0.0, "target_qps": 1.0}, "--latency-bound-ms must be above 0"),
        ({"scenario": "server", "latency_bound_ms": 1.0, "target_qps": 1.0, "find_qps": True}, "leave --target-qps out"),
        ({"scenario": "server", "latency_bound_ms": 1.0, "find_qps": True, "accuracy": True}, "give one of them"),
        ({"scenario": "offline", "target_qps": 1.0}, "--target-qps belongs to --scenario server, not offline"),
        ({"scenario": "offline", "find_qps": True}, "--find-qps belongs to --scenario server"),
        ({"scenario": "offline", "samples_per_query": 4}, "--samples-per-query belongs to --scenario multi-stream"),
        ({"scenario": "single-stream", "batch": 4}, "--batch 4 does not go with single-stream"),
        ({"scenario": "single-stream", "seconds": float("nan")}, "--seconds must be above 0, not nan"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, said):
    with pytest.raises(RequestError, match=said):
        LoadPlan(**options)


def test_a_missing_loadgen_is_one_sentence_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    with pytest.raises(TargetUnavailable, match=r"pip install 'tightship\[loadgen\]'"):
        System(lambda inputs: inputs, Samples({"x": X}, COUNT), 1)
