"""int8 for ONNX: where the pairs stand, which ranges they hold, and what calibration may and may not do."""

import logging
from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from artifacts.errors import ModelError
from artifacts.specs import Signature, TensorSpec
from artifacts.types import Engine, ModelRef, TorchModel
from compress.configs import QuantizeConfig
from compress.qat import learned, prepare, simulate, train_quantized
from compress.quantizers import QUANTIZERS, Calibration, rounding
from compress.quantizers.onnx import qdq
from compress.training.loop import predict
from export.onnx.export import export
from runtimes.onnxruntime.runtime import OnnxRuntimeCpu
from zoo.splits import ArraySplit

PTQ = QuantizeConfig(calibration_samples=128)
QAT = QuantizeConfig(calibration_samples=128, qat_epochs=2, samples=384)


def folder(tmp_path, name):
    made = tmp_path / name
    made.mkdir()
    return made


def int8(model, digits, tmp_path, name, config=PTQ, quantizer="onnx-qdq"):
    plain = export(model, folder(tmp_path, f"{name}-float"))
    return QUANTIZERS[quantizer].load()(plain, folder(tmp_path, name), Calibration(digits.train, config, 0, model))


def operators(file) -> Counter:
    return Counter(node.op_type for node in onnx.load(file.path).graph.node)


def constants(file) -> dict:
    return {i.name: numpy_helper.to_array(i) for i in onnx.load(file.path).graph.initializer}


@pytest.fixture(scope="module")
def trained(digits, tiny_b):
    """The tiny network after quantization-aware training."""
    return train_quantized(tiny_b, QAT, digits.train, seed=0)


@pytest.fixture(scope="module")
def files(digits, tiny_b, trained, tmp_path_factory):
    """Its PTQ and its QAT file."""
    tmp_path = tmp_path_factory.mktemp("int8")
    return int8(tiny_b, digits, tmp_path, "ptq"), int8(trained, digits, tmp_path, "qat", QAT)


def test_no_layer_of_an_int8_file_runs_in_float(files):
    for file in files:
        placement = OnnxRuntimeCpu().open(Engine("onnxruntime-cpu", file.path, Signature(())), 1).placement()
        assert not placement.fallback, placement
        assert placement.fallback_share == 0
        assert placement.accelerated["QLinearConv"] == 9
        assert file.precision == "int8"


def test_the_float_file_has_no_fallback_either_and_no_integer_operators(tiny, tmp_path):
    placement = OnnxRuntimeCpu().open(Engine("onnxruntime-cpu", export(tiny, tmp_path).path, Signature(())), 1).placement()
    assert not placement.fallback
    assert not any("QLinear" in name for name in placement.accelerated)


def test_ptq_and_qat_files_have_the_same_structure(files):
    assert operators(files[0]) == operators(files[1])


def test_the_int8_file_is_smaller_than_the_float_file(files):
    plain = files[0].folder.with_name("ptq-float") / "model.onnx"
    assert files[0].path.stat().st_size < 0.6 * plain.stat().st_size


def test_the_int8_file_is_nearly_as_accurate(digits, tiny, files):
    targets = digits.test.batch(np.arange(len(digits.test)))[1]
    reference = (predict(tiny.module, digits.test).argmax(1) == targets).mean()
    for file in files:
        outputs = run(file, digits, len(targets))
        assert (outputs.argmax(1) == targets).mean() >= reference - 0.02


def run(file, digits, count):
    session = OnnxRuntimeCpu().open(Engine("onnxruntime-cpu", file.path, Signature(())), 1)
    return session.run(digits.test.batch(np.arange(count))[0])["output"]


def test_the_qat_file_computes_what_was_simulated(digits, trained, files):
    images = torch.from_numpy(digits.test.batch(np.arange(200))[0]["image"])
    with torch.no_grad():
        wanted = simulate(trained, QAT, rounding.stored_limit("onnx-qdq", QAT))(images).numpy()
    difference = run(files[1], digits, 200) - wanted
    assert np.sqrt((difference**2).mean()) < 0.05 * wanted.std()


def test_the_learned_ranges_are_the_ones_in_the_file(trained, files):
    scales = {round(float(v), 5) for k, v in constants(files[1]).items() if k.endswith("_scale") and v.size == 1}
    wanted = {round((max(h, 0) - min(low, 0)) / 255, 5) for low, h in trained.ranges.values()}
    assert len(scales & wanted) >= 0.8 * len(wanted)
    assert any("learned in training" in note for note in files[1].notes)


def test_a_symmetric_file_has_zero_points_0_and_float_biases(digits, tiny, tmp_path):
    found = constants(int8(tiny, digits, tmp_path, "symmetric", quantizer="onnx-qdq-symmetric"))
    points = {k: v for k, v in found.items() if k.endswith("zero_point")}
    assert points
    assert all(v.dtype == np.int8 and not v.any() for v in points.values())
    assert not [k for k, v in found.items() if v.dtype == np.int32]


def test_weights_have_one_scale_per_output_channel(files):
    scales = {k: v for k, v in constants(files[0]).items() if "weight" in k and k.endswith("scale")}
    assert scales
    assert all(v.size > 1 for v in scales.values())


def test_weights_keep_to_7_bits_without_vnni(digits, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(qdq, "has_vnni", lambda: False)
    file = int8(tiny, digits, tmp_path, "reduced")
    weights = [v for k, v in constants(file).items() if v.dtype == np.int8 and v.ndim == 4]
    assert weights
    assert max(int(np.abs(w).max()) for w in weights) <= 64
    assert any("no VNNI" in note for note in file.notes)


@pytest.mark.parametrize(("vnni", "limit"), [(True, 127), (False, 64)])
def test_the_weights_of_a_qat_file_lie_on_the_grid_that_it_is_held_against(digits, trained, tmp_path, monkeypatch, vnni, limit):
    for module in (qdq, rounding):
        monkeypatch.setattr(module, "has_vnni", lambda: vnni)
    file = int8(trained, digits, tmp_path, "grid", QAT)
    weights = [v for v in constants(file).values() if v.dtype == np.int8 and v.ndim == 4]
    largest = np.concatenate([np.abs(w.astype(int)).reshape(len(w), -1).max(1) for w in weights])
    assert rounding.stored_limit("onnx-qdq", QAT) == limit
    assert set(largest[largest > 0]) == {limit}


def test_without_vnni_a_qat_file_computes_the_network_with_7_bit_weights(digits, trained, tmp_path, monkeypatch):
    for module in (qdq, rounding):
        monkeypatch.setattr(module, "has_vnni", lambda: False)
    made = run(int8(trained, digits, tmp_path, "narrow", QAT), digits, 200)
    images = torch.from_numpy(digits.test.batch(np.arange(200))[0]["image"])
    with torch.no_grad():
        narrow, whole = (
            np.square(simulate(trained, QAT, limit)(images).numpy() - made).mean()
            for limit in (rounding.stored_limit("onnx-qdq", QAT), None)
        )
    assert narrow < 0.5 * whole


def test_calibrating_changes_neither_statistics_nor_mode_nor_the_log_level(digits, tiny, tmp_path):
    level = logging.getLogger().level
    int8(tiny, digits, tmp_path, "int8")  # `tiny` itself checks that no tensor moved
    assert logging.getLogger().level == level
    assert not tiny.module.training


def test_a_model_without_layers_to_quantize_is_refused(tmp_path):
    signature = Signature((TensorSpec("x", "float32", ("batch", 4)),), (TensorSpec("output", "float32", ("batch", 4)),))
    split = ArraySplit({"x": np.ones((8, 4), np.float32)}, np.zeros(8))

    class Disturbance(nn.Module):
        def forward(self, x):
            return torch.erf(x)

    model = TorchModel(Disturbance().eval(), ModelRef(), signature)
    plain = export(model, folder(tmp_path, "float"))
    with pytest.raises(ModelError, match="nothing in the ONNX file could be quantized"):
        qdq.quantize_asymmetric(plain, folder(tmp_path, "int8"), Calibration(split, PTQ, 0, model))


def test_ranges_that_fit_no_tensor_are_refused(digits, tiny, trained, tmp_path):
    plain = export(tiny, folder(tmp_path, "float"))
    with pytest.raises(ModelError, match="matches no tensor") as caught:
        qdq.quantize_asymmetric(plain, folder(tmp_path, "int8"), Calibration(digits.train, QAT, 0, trained))
    assert "\n" not in str(caught.value)


def test_preparing_keeps_the_ranges_it_was_given(trained):
    ranges = dict(trained.ranges)
    assert learned(prepare(trained.module, ranges)) == ranges
