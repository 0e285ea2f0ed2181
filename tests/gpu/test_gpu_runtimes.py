"""The three ways onto an NVIDIA GPU, each built, opened, run and compared with ONNX Runtime on the CPU.

Run them on a machine with a GPU: `.venv/bin/python -m pytest -m gpu tests/gpu`.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from artifacts.errors import IntegrityError, ModelError, RequestError
from artifacts.types import ExportedFile, ModelRef, TorchModel
from runtimes.registry import find
from runtimes.tensorrt.engine_key import EngineKey, key_path, signature_of
from runtimes.tensorrt.runtime import TensorRt

pytestmark = pytest.mark.gpu
BATCH = np.random.default_rng(0).normal(size=(2, 8, 16, 16)).astype(np.float32)


@pytest.fixture(autouse=True)
def _gpu():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device is visible to torch")


@pytest.fixture
def file(tmp_path) -> ExportedFile:
    """Two convolutions of eight channels with a skip connection, in float32."""
    rng = np.random.default_rng(1)
    weights = [numpy_helper.from_array(rng.normal(0, 0.1, (8, 8, 3, 3)).astype(np.float32), name) for name in ("w0", "w1")]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["c0"], "conv0", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c0"], ["r0"], "relu0"),
        helper.make_node("Conv", ["r0", "w1"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c1", "r0"], ["a"], "add"),
        helper.make_node("Relu", ["a"], ["y"], "relu1"),
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 8, 16, 16]) for n in "xy")
    graph = helper.make_graph(nodes, "net", [x], [y], weights)
    folder = tmp_path / "exported"
    folder.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    return ExportedFile("onnx", folder, "model.onnx", signature_of(folder / "model.onnx"))


@pytest.fixture
def int8_file(file) -> ExportedFile:
    """The same network quantized symmetrically by ONNX Runtime."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Samples(CalibrationDataReader):
        def __init__(self):
            self.left = iter([{"x": BATCH}])

        def get_next(self):
            return next(self.left, None)

    quantize_static(
        file.path,
        file.folder / "int8.onnx",
        Samples(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
    )
    return replace(file, main="int8.onnx", precision="int8")


def expected(path: Path, x=BATCH):
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def close(found, wanted, share):
    """The largest error, as a share of the largest value."""
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= share * np.abs(wanted).max()


def test_tensorrt_builds_opens_and_runs_a_float_file(file, tmp_path):
    pytest.importorskip("tensorrt", exc_type=ImportError)
    runtime = TensorRt({"batch": (1, 2, 4)})
    engine = runtime.build(file, tmp_path / "built" / "engine")
    session = runtime.open(engine, 1)
    for size in (1, 2, 3, 4):
        x = np.resize(BATCH, (size, *BATCH.shape[1:]))
        close(session.run({"x": x})["y"], expected(file.path, x), 0.01)
    assert session.placement().fallback_share == 0
    with pytest.raises(RequestError, match=r"to \(4, 8, 16, 16\)"):
        session.run({"x": np.resize(BATCH, (5, *BATCH.shape[1:]))})
    assert list((tmp_path / "built").glob("tensorrt-timing-*.cache"))


def test_tensorrt_runs_convolutions_of_a_symmetric_file_in_int8(int8_file, tmp_path):
    pytest.importorskip("tensorrt", exc_type=ImportError)
    runtime = TensorRt()
    session = runtime.open(runtime.build(int8_file, tmp_path / "built"), 1)
    close(session.run({"x": BATCH})["y"], expected(int8_file.path), 0.05)
    placement = session.placement()
    assert placement.fallback == {}
    assert any("int8" in name for name in placement.accelerated), placement


def test_tensorrt_refuses_the_engine_of_another_gpu(file, tmp_path):
    pytest.importorskip("tensorrt", exc_type=ImportError)
    engine = TensorRt().build(file, tmp_path / "built")
    key = EngineKey.read(engine.path)
    replace(key, machine=replace(key.machine, gpu="another GPU")).write(engine.path)
    with pytest.raises(IntegrityError, match=r"on another GPU .*; rebuild it here: `python -m runtimes.tensorrt.runtime"):
        TensorRt().open(engine, 1)
    assert json.loads(key_path(engine.path).read_text())["onnx"] == engine.options["hashes"]


def test_tensorrt_names_the_node_that_it_cannot_read(file, tmp_path):
    pytest.importorskip("tensorrt", exc_type=ImportError)
    model = onnx.load(file.path)
    model.graph.node[1].op_type = "NoSuchOperator"
    onnx.save(model, file.path)
    with pytest.raises(ModelError, match="relu0"):
        TensorRt().build(file, tmp_path / "built")


@pytest.mark.parametrize(
    ("target", "provider"),
    [("onnxruntime-cuda", "CUDAExecutionProvider"), ("onnxruntime-tensorrt", "TensorrtExecutionProvider")],
)
def test_onnxruntime_runs_on_the_provider_that_was_asked_for(int8_file, file, tmp_path, target, provider):
    onnxruntime = pytest.importorskip("onnxruntime")
    if provider not in onnxruntime.get_available_providers():
        pytest.skip(f"this onnxruntime has no {provider}")
    if target == "onnxruntime-tensorrt":
        pytest.importorskip("tensorrt", exc_type=ImportError)
    assert onnxruntime.InferenceSession(file.path, providers=[provider]).get_providers()[0] == provider
    runtime = find(target).runtime()
    for each, share in ((file, 0.01), (int8_file, 0.05)):
        session = runtime.open(runtime.build(each, tmp_path), 1)
        close(session.run({"x": BATCH})["y"], expected(each.path), share)
        assert provider in session.placement().how


def test_torch_runs_on_the_gpu(tmp_path):
    from artifacts.specs import Signature, TensorSpec
    from export.registry import FORMATS
    from zoo.models import build

    ref = ModelRef(zoo="resnet", options={"depth": 8, "width": 8, "classes": 4, "channels": 3})
    signature = Signature(
        (TensorSpec("image", "float32", ("batch", 3, 32, 32)),), (TensorSpec("logits", "float32", ("batch", 4)),)
    )
    stored = FORMATS["module"].load()(TorchModel(build(ref).eval(), ref, signature), tmp_path)
    x = np.random.default_rng(2).normal(size=(3, 3, 32, 32)).astype(np.float32)
    answers = []
    for name in ("torch-cpu", "torch-cuda"):
        runtime = find(name).runtime()
        session = runtime.open(runtime.build(stored, tmp_path), 1)
        answers.append(next(iter(session.run({"image": x}).values())))
        assert name.removeprefix("torch-") in session.placement().how
    close(answers[1], answers[0], 0.01)
