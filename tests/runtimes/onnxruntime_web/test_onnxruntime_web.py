"""ONNX Runtime Web in a headless Chromium: values, the page's own clock, operators, and what is refused."""

import json
import os
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from artifacts.environments import WEB
from artifacts.errors import ModelError, RequestError, StageCrashed, TargetUnavailable
from artifacts.specs import Signature
from artifacts.types import Engine
from runtimes.onnxruntime_web.browser import chromium
from runtimes.onnxruntime_web.messages import pack, unpack
from runtimes.onnxruntime_web.runtime import OnnxRuntimeWeb, place
from runtimes.registry import find

ROOT = Path(__file__).resolve().parents[3]
here = pytest.mark.skipif(
    WEB.place() is None or chromium() is None, reason="needs onnxruntime-web (make venv-web) and Chromium on the path"
)
EMPTY = Signature((), ())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """y = relu(x · w + b) and a count in 64-bit integers, its weights in a sidecar."""
    generator = np.random.default_rng(0)
    weights = {"w": generator.normal(size=(64, 5)).astype(np.float32), "b": generator.normal(size=5).astype(np.float32)}
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["y"]),
        helper.make_node("Add", ["n", "n"], ["twice"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64]),
        helper.make_tensor_value_info("n", TensorProto.INT64, [1]),
    ]
    outputs = [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 5]),
        helper.make_tensor_value_info("twice", TensorProto.INT64, [1]),
    ]
    held = [onnx.numpy_helper.from_array(v, k) for k, v in weights.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, held)
    path = tmp_path_factory.mktemp("web") / "model.onnx"
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, path, save_as_external_data=True, location="model.onnx.data", size_threshold=0)
    return path, weights


@pytest.fixture(scope="module")
def session(model):
    """One browser for the tests of this file."""
    opened = OnnxRuntimeWeb().open(Engine("onnxruntime-web", model[0], EMPTY), 1)
    yield opened
    opened.close()


def feeds(rows):
    return {"x": np.random.default_rng(rows).normal(size=(rows, 64)).astype(np.float32), "n": np.array([2**40], np.int64)}


def test_arrays_survive_the_way_there_and_back_with_odd_sizes_and_none_at_all():
    arrays = {
        "a": np.arange(3, dtype=np.uint8),
        "b": np.array([[1.5], [2.5]], np.float64),
        "c": np.zeros((0, 4), np.float32),
        "d": np.array(True),
        "e": np.array([1, -1], np.int64),
    }
    frame = pack({"do": "run"}, arrays)
    header, made = unpack(frame)
    assert header == {"do": "run"}
    assert list(made) == list(arrays)
    for name, value in arrays.items():
        assert made[name].dtype == value.dtype
        np.testing.assert_array_equal(made[name], value)
    length = int.from_bytes(frame[:4], "little")
    assert not (4 + length) % 8
    assert not any(t["offset"] % 8 for t in json.loads(frame[4 : 4 + length])["tensors"])


def test_an_array_that_no_browser_holds_is_refused():
    with pytest.raises(RequestError, match="input 'z' is complex64, which a browser has no tensor for"):
        pack({}, {"z": np.zeros(1, np.complex64)})


@here
@pytest.mark.parametrize("rows", [1, 3])
def test_it_computes_what_numpy_computes_sidecar_and_64_bit_integers_included(session, model, rows):
    given, weights = feeds(rows), model[1]
    made = session.run(given)
    np.testing.assert_allclose(made["y"], np.maximum(given["x"] @ weights["w"] + weights["b"], 0), atol=1e-4)
    assert made["twice"].dtype == np.int64
    assert made["twice"].tolist() == [2**41]


@here
def test_calls_are_timed_in_the_page_by_a_clock_finer_than_a_tenth_of_a_millisecond(session):
    times, last = session.timed(feeds(1), 0.0, 300)
    assert len(times) == 300
    assert all(t >= 0 for t in times)
    assert any(t % 100_000 for t in times)
    np.testing.assert_array_equal(last["y"], session.run(feeds(1))["y"])
    assert session.opened["isolated"]


@here
def test_time_and_memory_of_the_browser_are_seen(session):
    before = session.cpu_ns()
    session.timed(feeds(1), 0.3, 1)
    assert session.cpu_ns() > before
    assert session.peak_mb() > 20


@here
def test_operators_are_counted_by_the_library_itself(session):
    placed = session.placement()
    assert sum(placed.accelerated.values()) + sum(placed.fallback.values()) in (2, 3)
    assert "3 operators" in placed.how or "2 operators" in placed.how


@here
def test_a_wrong_input_is_one_sentence_and_the_session_lives_on(session):
    with pytest.raises(ModelError, match=r"^ONNX Runtime Web: [^\n]*\.$"):
        session.run({"x": feeds(1)["x"]})
    assert session.run(feeds(1))["y"].shape == (1, 5)


@here
def test_a_file_that_is_no_model_is_one_sentence(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"^ONNX Runtime Web: [^\n]*\.$"):
        OnnxRuntimeWeb().open(Engine("onnxruntime-web", tmp_path / "broken.onnx", EMPTY), 1)


@here
def test_a_browser_that_dies_is_one_sentence(model):
    opened = OnnxRuntimeWeb().open(Engine("onnxruntime-web", model[0], EMPTY), 1)
    opened._browser._process.kill()
    with pytest.raises(StageCrashed, match="Chromium ended with exit code -9"):
        opened.run(feeds(1))
    opened.close()


def test_a_log_that_names_no_operators_is_not_read_as_one(model):
    assert "does not say" in place(model[0], ["nothing of use"]).how
    unnamed = place(model[0], ["All nodes placed on [CPUExecutionProvider]. Number of nodes: 77"])
    assert unnamed.accelerated == {"unnamed": 77}


def test_a_missing_package_or_browser_is_named_with_what_brings_it(monkeypatch, tmp_path):
    monkeypatch.setenv("TIGHTSHIP_WEB", str(tmp_path))
    missing = OnnxRuntimeWeb().probe()
    assert not missing.available
    assert "npm install" in missing.reason
    with pytest.raises(TargetUnavailable, match="TIGHTSHIP_WEB"):
        WEB.require()
    (tmp_path / "package.json").write_text('{"version": "1.2.3"}')
    monkeypatch.setenv("TIGHTSHIP_CHROMIUM", str(tmp_path / "none"))
    missing = OnnxRuntimeWeb().probe()
    assert not missing.available
    assert "Chromium" in missing.reason
    assert WEB.version("onnxruntime-web") == "1.2.3"


def test_make_installs_the_version_that_is_asked_for():
    text = (ROOT / "Makefile").read_text()
    assert re.findall(r"onnxruntime-web@(\S+)", text) == [WEB.pinned]
    assert find("onnxruntime-web").libraries == ("onnxruntime-web",)
    assert os.path.isfile(ROOT / "runtimes" / "onnxruntime_web" / "page.html")
