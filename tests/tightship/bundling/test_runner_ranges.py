"""A bundle's runner keeps to the ranges of dynamic dimensions: more rows in several calls, other sizes refused."""

from dataclasses import asdict

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from artifacts.errors import RequestError
from artifacts.specs import DimRange, Signature, TensorSpec
from runtimes.registry import find
from tightship.bundling.runner import run as runner

SIGNATURE = Signature(
    (TensorSpec("x", "float32", ("batch", "length")),),
    (TensorSpec("y", "float32", ("batch",)),),
    (DimRange("batch", 1, 4, 2), DimRange("length", 3, 6, 3)),
)


@pytest.fixture
def model(tmp_path):
    """A file that sums each row, opened by the runner; with the batch of each call that it was asked for."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "length"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch"])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    node = helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)
    graph = helper.make_graph([node], "g", [x], [y], [axes])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "model.onnx")
    manifest = {
        "loader": find("onnxruntime-cpu").loader, "main": str(tmp_path / "model.onnx"), "target": "onnxruntime-cpu",
        "threads": 1, "signature": asdict(SIGNATURE), "options": {},
    }  # fmt: skip
    opened = runner.Model(manifest)
    calls, run = [], opened.session.run
    opened.session.run = lambda arrays: calls.append(len(arrays["x"])) or run(arrays)
    return opened, calls


@pytest.mark.parametrize(("rows", "steps"), [(1, [1]), (4, [4]), (10, [4, 4, 4])])
def test_more_rows_than_the_largest_batch_are_run_in_steps(model, rows, steps):
    opened, calls = model
    x = np.random.default_rng(0).normal(size=(rows, 5)).astype(np.float32)
    np.testing.assert_allclose(opened.run({"x": x})["y"], x.sum(1), rtol=1e-5)
    assert calls == steps


@pytest.mark.parametrize("length", [2, 7])
def test_another_size_outside_its_range_is_refused(model, length):
    with pytest.raises(RequestError, match=f"input 'x' has length {length}, but the model takes 3 to 6; cut or fill it"):
        model[0].run({"x": np.zeros((2, length), np.float32)})
