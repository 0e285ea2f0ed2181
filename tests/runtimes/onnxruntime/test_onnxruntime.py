"""ONNX Runtime: the provider that was asked for, or an error; what ran in float in an int8 file is counted as fallen back."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from artifacts.errors import ModelError, TargetUnavailable, TightshipError
from artifacts.specs import Signature, TensorSpec
from artifacts.types import Engine, ExportedFile
from runtimes.onnxruntime.loader import PROVIDERS
from runtimes.onnxruntime.runtime import OnnxRuntimeCpu, OnnxRuntimeCuda, OnnxRuntimeTensorRt, _sort

CPU = "CPUExecutionProvider"
SIGNATURE = Signature((TensorSpec("x", "float32", ("batch", 3)), TensorSpec("n", "int64", ("batch", 1))))


@pytest.fixture
def file(tmp_path):
    """y = x · w, z = n + n; two inputs of different type, two outputs."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Add", ["n", "n"], ["z"])]
    ins = [("x", TensorProto.FLOAT, ["batch", 3]), ("n", TensorProto.INT64, ["batch", 1])]
    outs = [("y", TensorProto.FLOAT, ["batch", 2]), ("z", TensorProto.INT64, ["batch", 1])]
    weight = numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(3, 2), "w")
    values = [[helper.make_tensor_value_info(*v) for v in part] for part in (ins, outs)]
    model = helper.make_model(helper.make_graph(nodes, "g", *values, [weight]), opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.save(model, tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def test_a_file_runs_by_name_at_any_batch(file):
    session = OnnxRuntimeCpu().open(Engine("onnxruntime-cpu", file, Signature(())), 1)
    for batch in (1, 2, 7):
        x, n = np.ones((batch, 3), np.float32), np.full((batch, 1), 4)
        found = session.run({"n": n, "x": x})
        assert found["y"].tolist() == [[6, 9]] * batch
        assert found["z"].tolist() == [[8]] * batch


def test_an_engine_is_the_file_itself(file):
    exported = ExportedFile("onnx", file.parent, file.name, SIGNATURE)
    runtime = OnnxRuntimeCpu()
    engine = runtime.build(exported, file.parent)
    assert (engine.target, engine.path, engine.signature) == ("onnxruntime-cpu", file, SIGNATURE)
    assert runtime.open(engine, 2).run({"x": np.ones((1, 3), np.float32), "n": np.ones((1, 1), np.int64)})


def test_placement_is_what_ran_on_the_provider(file):
    placement = OnnxRuntimeCpu().open(Engine("onnxruntime-cpu", file, Signature(())), 1).placement()
    assert dict(placement.accelerated) == {"MatMul": 1, "Add": 1}
    assert not placement.fallback
    assert CPU in placement.how


def test_placing_leaves_no_file_behind(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    OnnxRuntimeCpu().open(Engine("onnxruntime-cpu", file, Signature(())), 1).placement()
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.parametrize("runtime", [OnnxRuntimeCuda(), OnnxRuntimeTensorRt()], ids=lambda r: r.target)
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_is_not_active_is_an_error_not_a_slower_run(file, runtime):
    import onnxruntime as ort

    if PROVIDERS[runtime.target].name in ort.get_available_providers():
        pytest.skip("this build of onnxruntime has the provider")
    with pytest.raises(TightshipError) as caught:
        runtime.open(Engine(runtime.target, file, SIGNATURE), 1)
    assert isinstance(caught.value, TargetUnavailable | ModelError)
    assert "\n" not in str(caught.value)
    assert PROVIDERS[runtime.target].name in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not an onnx file", b"\x08\x09"])
def test_a_file_that_cannot_be_opened_is_one_sentence(tmp_path, content):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"cannot open broken\.onnx") as caught:
        OnnxRuntimeCpu().open(Engine("onnxruntime-cpu", path, Signature(())), 1)
    assert "\n" not in str(caught.value)


def ran(*names, provider=CPU):
    return [{"op_name": name, "provider": provider} for name in names]


def test_float_layers_of_an_int8_file_have_fallen_back():
    placement = _sort(ran("QuantizeLinear", "QLinearConv", "Conv", "Relu", "DequantizeLinear"), CPU, 2)
    assert dict(placement.fallback) == {"Conv": 1}
    assert placement.fallback_share == 0.2


def test_conversions_inside_an_int8_file_have_fallen_back():
    names = [
        "QuantizeLinear",
        "QLinearConv",
        "DequantizeLinear",
        "Softmax",
        "QuantizeLinear",
        "QLinearConv",
        "DequantizeLinear",
    ]
    assert dict(_sort(ran(*names), CPU, 2).fallback) == {"QuantizeLinear": 1, "DequantizeLinear": 1}


def test_the_same_layers_in_a_float_file_are_where_they_should_be():
    assert not _sort(ran("Conv", "FusedConv", "Gemm"), CPU, 2).fallback


def test_what_ran_on_another_provider_has_fallen_back():
    placement = _sort(ran("Conv", provider=CPU) + ran("Relu", provider="CUDAExecutionProvider"), "CUDAExecutionProvider", 2)
    assert (dict(placement.accelerated), dict(placement.fallback)) == ({"Relu": 1}, {"Conv": 1})
