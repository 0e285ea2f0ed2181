"""`tightship load` on a small file: every scenario by its table and its JSON, and requests that make no sense."""

import json
import sys
from itertools import pairwise

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from artifacts.arrays import load_arrays, save_arrays
from artifacts.errors import DataError, RequestError, TargetUnavailable
from tightship.benching.bench import engine_of
from tightship.benching.load import default_callers, load_file, sample_set


def made(folder, batch="batch"):
    """A file that doubles three numbers."""
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [batch, 3]) for n in ("x", "y")]
    weight = numpy_helper.from_array(np.full(1, 2, np.float32), "w")
    graph = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weight])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), folder / "double.onnx")
    return folder / "double.onnx"


def needs_loadgen():
    return pytest.importorskip("mlperf_loadgen", reason="MLPerf LoadGen is missing: pip install 'tightship[loadgen]'")


@pytest.mark.slow
def test_a_table_says_what_loadgen_says(cli, tmp_path):
    needs_loadgen()
    done = cli("load", made(tmp_path), "--scenario", "single-stream", "--seconds", 0.3, "--repeats", 0, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert " VALID " in done.stdout
    assert "(early stopping)" in done.stdout
    assert "MLPerf's submissions need 600 s" in done.stdout
    assert "made up: x float32 16x3" in done.stdout
    (folder,) = (tmp_path / "runs" / "load").iterdir()
    assert (folder / "log" / "mlperf_log_summary.txt").is_file()


def test_an_invalid_run_ends_with_exit_code_1_and_names_the_constraint(cli, tmp_path):
    needs_loadgen()
    options = ("--scenario", "server", "--target-qps", 200, "--latency-bound-ms", 50, "--seconds", 0.2, "--repeats", 0)
    done = cli("load", made(tmp_path), *options, "--json", "--out", tmp_path / "out")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert found["valid"] is False
    assert "early stopping" in found["loadgen"]["unmet"]
    assert found["machine"]["cores"] > 0
    assert found["logs"] == str(tmp_path / "out" / "log")


def test_given_samples_come_back_from_accuracy_mode(tmp_path):
    needs_loadgen()
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    save_arrays(tmp_path / "in.npz", {"x": x})
    found = load_file(made(tmp_path), "offline", tmp_path / "in.npz", accuracy=True, batch=2, folder=tmp_path / "out")
    assert found["samples"] == found["checked"] == 5
    assert found["answered"] == {"queries": 1, "samples": 5, "calls": 3}
    np.testing.assert_array_equal(load_arrays(tmp_path / "out" / "log" / "outputs.npz")["y"], 2 * x)


def test_a_file_of_fixed_batch_has_samples_of_that_size(tmp_path):
    needs_loadgen()
    x = np.arange(15, dtype=np.float32).reshape(5, 3)
    save_arrays(tmp_path / "in.npz", {"x": x})
    found = load_file(made(tmp_path, 2), "multi-stream", tmp_path / "in.npz", accuracy=True, folder=tmp_path / "out")
    assert (found["samples"], found["examples_per_sample"], found["batch"]) == (2, 2, 1)
    np.testing.assert_array_equal(load_arrays(tmp_path / "out" / "log" / "outputs.npz")["y"], 2 * x[:4])


@pytest.mark.slow
def test_concurrency_and_sustained_need_no_loadgen(cli, tmp_path):
    path = made(tmp_path)
    done = cli("load", path, "--scenario", "concurrency", "--callers", "1,2", "--seconds", 0.02, "--out", tmp_path / "c")
    assert done.returncode == 0, done.stderr
    assert "times one caller" in done.stdout
    done = cli("load", path, "--scenario", "sustained", "--seconds", 0.5, "--out", tmp_path / "s")
    assert done.returncode == 0, done.stderr
    assert "Latency: " in done.stdout
    assert "Memory: " in done.stdout


@pytest.mark.slow
def test_the_search_keeps_every_run(tmp_path):
    needs_loadgen()
    how = {"seconds": 0.05, "repeats": 0, "folder": tmp_path / "out"}
    found = load_file(made(tmp_path), "server", find_qps=True, latency_bound_ms=200.0, **how)
    valid = [trial["target_qps"] for trial in found["search"] if trial["valid"]]
    assert found["found_qps"] == max(valid, default=None)
    assert len(list((tmp_path / "out").glob("search-*/mlperf_log_detail.txt"))) == len(found["search"])
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("scenario", "options", "said"),
    [
        ("singlestream", {}, "--scenario singlestream is unknown; did you mean 'single-stream'"),
        ("sustained", {"target_qps": 5.0}, "--target-qps belongs to LoadGen's scenarios, not to sustained"),
        ("sustained", {"callers": (1, 2)}, "--callers belongs to --scenario concurrency"),
        ("concurrency", {"seconds": 0.0}, "--seconds must be above 0, not 0"),
        ("concurrency", {"callers": (1, 65)}, "--callers 65 would start as many processes; at most 64"),
        ("concurrency", {"accuracy": True}, "--accuracy belongs to LoadGen's scenarios"),
    ],
)
def test_requests_that_make_no_sense_are_refused_before_any_work(tmp_path, scenario, options, said):
    with pytest.raises(RequestError, match=said):
        load_file(tmp_path / "no.onnx", scenario, folder=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_another_batch_than_the_file_takes_is_refused(tmp_path):
    with pytest.raises(RequestError, match="takes 2 examples at once, not 8; leave --batch out"):
        sample_set(engine_of(made(tmp_path, 2), None, None), None, 8)


def test_inputs_that_do_not_fit_are_refused(tmp_path):
    save_arrays(tmp_path / "in.npz", {"x": np.zeros((4, 2), np.float32)})
    with pytest.raises(DataError, match=r"of shape 4x2, but double\.onnx takes x float32"):
        sample_set(engine_of(made(tmp_path), None, None), tmp_path / "in.npz", None)


def test_a_missing_loadgen_is_told_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    with pytest.raises(TargetUnavailable, match=r"pip install 'tightship\[loadgen\]'"):
        load_file(made(tmp_path), "offline", folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_callers_double_up_to_twice_the_cores():
    found = default_callers()
    assert found[0] == 1
    assert all(b == 2 * a for a, b in pairwise(found))
