"""int8 for OpenVINO: every layer in integers, ranges from where the recipe says, and those learned in training kept."""

import contextlib
import os
import sys

import numpy as np
import pytest
import torch

from artifacts.errors import RequestError
from artifacts.types import Engine
from benchmarks.parity.parity import QUANTIZED, SIMULATED, Case, evaluate
from compress.configs import QuantizeConfig
from compress.fakequant import affine
from compress.fold import fold
from compress.qat import simulate, train_quantized
from compress.quantizers import QUANTIZERS, Calibration, rounding
from compress.quantizers.openvino import nncf
from compress.training.loop import predict
from zoo.outputs import named_outputs

ov = pytest.importorskip("openvino")
pytest.importorskip("nncf")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
PTQ = QuantizeConfig(calibration_samples=64)
QAT = QuantizeConfig(calibration_samples=64, qat_epochs=1, samples=256)
HEAVY = ("Convolution", "FullyConnected")


@pytest.fixture(scope="module")
def plain(tiny_b, tmp_path_factory):
    """The trained network, traced once, and its float file."""
    from dataclasses import replace

    from export.openvino.export import export

    folded = replace(tiny_b, module=fold(tiny_b.module, tiny_b.signature))
    return folded, export(folded, tmp_path_factory.mktemp("float"))


@pytest.fixture(scope="module")
def trained(digits, plain, tmp_path_factory):
    """The same after quantization-aware training, and its float file."""
    from export.openvino.export import export

    model = train_quantized(plain[0], QAT, digits.train, seed=0)
    return model, export(model, tmp_path_factory.mktemp("trained"))


def int8(source, digits, folder, config=PTQ, quantizer="nncf"):
    model, file = source
    return QUANTIZERS[quantizer].load()(file, folder, Calibration(digits.train, config, 0, model))


@pytest.fixture(scope="module")
def ptq(plain, digits, tmp_path_factory):
    return int8(plain, digits, tmp_path_factory.mktemp("ptq"))


@pytest.fixture(scope="module")
def qat(trained, digits, tmp_path_factory):
    return int8(trained, digits, tmp_path_factory.mktemp("qat"), QAT)


def opened(file):
    from runtimes.openvino.runtime import OpenVinoCpu

    return OpenVinoCpu().open(Engine("openvino-cpu", file.path, file.signature), 1)


def roundings(file):
    """The limits of every activation's rounding, by its name."""
    model = ov.Core().read_model(file.path)
    return {
        op.get_friendly_name(): tuple(float(op.input_value(i).get_node().data.ravel()[0]) for i in range(1, 5))
        for op in model.get_ordered_ops()
        if op.get_type_name() == "FakeQuantize"
    }


def parity(file, module, digits, tolerance):
    inputs = digits.test.batch(np.arange(256))[0]
    with torch.no_grad():
        wanted = named_outputs(module(torch.from_numpy(inputs["image"])))
    case = Case("real", True, {n: t.numpy() for n, t in wanted.items()}, opened(file).run(inputs))
    return evaluate([case], tolerance, "float", True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ptq", "qat"])
def test_every_layer_runs_in_integers(kind, request):
    placement = opened(request.getfixturevalue(kind)).placement()
    layers = {kernel: n for kernel, n in placement.accelerated.items() if kernel.startswith(HEAVY)}
    assert sum(layers.values()) == 10  # depth 8: seven convolutions, two in shortcuts, one linear layer
    assert all(kernel.endswith(("I8", "i8")) for kernel in layers)  # i8: what comes in is signed
    assert not placement.fallback


def test_the_file_is_smaller_and_computes_the_network(ptq, plain, digits):
    assert parity(ptq, plain[0].module, digits, QUANTIZED).passed
    sizes = [sum(p.stat().st_size for p in f.folder.glob("*.bin")) for f in (ptq, plain[1])]
    assert sizes[0] < 0.3 * sizes[1]
    assert {p.name for p in ptq.folder.iterdir()} == {"model.xml", "model.bin"}
    assert ptq.precision == "int8"


def test_learned_ranges_are_those_of_the_file(trained, qat):
    limits = {(pair[0], pair[1]) for pair in roundings(qat).values()}
    assert all(pair[:2] == pair[2:] for pair in roundings(qat).values())

    def grid(low, high):
        scale, zero_point = affine(low, high)
        return float(np.float32(-zero_point * scale)), float(np.float32((255 - zero_point) * scale))

    assert limits <= {grid(*r) for r in trained[0].ranges.values()}
    assert len(limits) >= 10
    assert f"{len(roundings(qat))} ranges learned in training" in qat.notes


def test_the_qat_file_computes_what_was_trained(trained, qat, digits):
    record = parity(qat, simulate(trained[0], QAT, rounding.stored_limit("nncf", QAT)), digits, SIMULATED)
    assert record.passed, record


def scaled_weights(file):
    """The int8 weights of convolutions and linear layers, and the size of their steps."""
    for op in ov.Core().read_model(file.path).get_ordered_ops():
        if op.get_type_name() == "Constant" and op.get_element_type().get_type_name() == "i8" and len(op.shape) > 1:
            (convert,) = (port.get_node() for port in op.output(0).get_target_inputs())
            (multiply,) = (port.get_node() for port in convert.output(0).get_target_inputs())
            scale = next(s for s in (multiply.input_value(i).get_node() for i in range(2)) if s is not convert)
            while scale.get_type_name() != "Constant":
                scale = scale.input_value(0).get_node()
            yield op.data.astype(np.float64), np.abs(scale.data.astype(np.float64))


@pytest.mark.parametrize(("vnni", "steps"), [(True, 127), (False, 63.5)])
def test_weights_lie_on_the_grid_that_a_trained_file_is_held_against(trained, digits, tmp_path, monkeypatch, vnni, steps):
    for module in (nncf, rounding):
        monkeypatch.setattr(module, "has_vnni", lambda: vnni)
    floats = [w.detach().numpy() for w in trained[0].module.parameters() if w.ndim > 1]
    held = list(scaled_weights(int8(trained, digits, tmp_path, QAT)))
    assert len(held) == len(floats) == 10
    assert rounding.stored_limit("nncf", QAT) == steps
    for levels, scale in held:
        original = min((w for w in floats if w.shape == levels.shape), key=lambda w: np.abs(levels * scale - w).max())
        largest = np.abs(original).reshape(len(original), -1).max(1)
        assert np.allclose(largest / scale.reshape(-1), steps, rtol=1e-4)


def test_ptq_and_qat_files_have_the_same_structure(ptq, qat):
    assert roundings(ptq).keys() == roundings(qat).keys()


@pytest.mark.parametrize("calibrator", ["percentile", "entropy", "mse"])
def test_every_calibrator_chooses_ranges_of_its_own(calibrator, plain, ptq, digits, tmp_path):
    config = QuantizeConfig(calibration_samples=64, calibrator=calibrator, percentile=99.9)
    file = int8(plain, digits, tmp_path, config)
    assert f"64 calibration samples, {calibrator}" in file.notes
    usual, found = roundings(ptq), roundings(file)
    assert usual.keys() == found.keys()
    assert sum(found[name][1] < 0.999 * usual[name][1] for name in usual) >= 3
    assert parity(file, plain[0].module, digits, QUANTIZED).passed


def test_minmax_is_the_smallest_and_largest_that_were_seen(plain, ptq, digits):
    from compress.training.loop import subset

    seen = digits.train.batch(subset(digits.train, 64, 0))[0]["image"]
    low, high = next(limits[:2] for name, limits in roundings(ptq).items() if name.startswith("image"))
    largest = max(abs(float(seen.min())), float(seen.max()))
    assert max(-low, high) == pytest.approx(largest, rel=0.01)


def test_layers_that_are_kept_stay_in_float(plain, digits, tmp_path):
    file = int8(plain, digits, tmp_path, PTQ.model_copy(update={"keep_float": ("linear", "layer1.0.conv1")}))
    fallback = opened(file).placement().fallback
    assert sum(fallback.values()) == 2
    assert any("2 operators kept in float" in note for note in file.notes)


def test_an_unknown_layer_names_the_nearest(plain, digits, tmp_path):
    with pytest.raises(RequestError, match="no layer 'linaer' with a weight; did you mean 'linear'"):
        int8(plain, digits, tmp_path, PTQ.model_copy(update={"keep_float": ("linaer",)}))


def test_one_scale_per_tensor_where_asked(plain, ptq, digits, tmp_path):
    def scales(file):
        model = ov.Core().read_model(file.path)
        weights = [op for op in model.get_ops() if op.get_type_name() == "Constant" and op.get_element_type() == ov.Type.i8]
        assert weights
        return {
            int(np.prod(user.get_node().input_value(1).get_shape()))
            for op in weights
            for convert in op.output(0).get_target_inputs()
            for user in convert.get_node().output(0).get_target_inputs()
        }

    assert max(scales(ptq)) > 1
    assert scales(int8(plain, digits, tmp_path, PTQ.model_copy(update={"per_channel": False}))) == {1}


def test_four_bit_weights_are_refused_in_one_sentence(plain, digits, tmp_path):
    with pytest.raises(RequestError, match="weight_bits: 4"):
        int8(plain, digits, tmp_path, PTQ.model_copy(update={"weight_bits": 4}))


def test_the_same_model_gives_the_same_bytes_and_no_settings_of_the_tool(plain, ptq, digits, tmp_path):
    again = int8(plain, digits, tmp_path)
    for name in ("model.xml", "model.bin"):
        assert (ptq.folder / name).read_bytes() == (again.folder / name).read_bytes()
    assert "nncf" not in ptq.path.read_text().lower()


def test_quantizing_is_silent_and_reports_to_nobody(plain, digits, tmp_path, capfd):
    int8(plain, digits, tmp_path)
    assert capfd.readouterr().out == ""
    assert os.environ["NNCF_CI"]
    assert "nncf" in sys.modules


def test_the_float_model_is_left_as_it_is(plain, digits, tmp_path):
    before = [(p.name, p.read_bytes()) for p in sorted(plain[1].folder.iterdir())]
    with contextlib.chdir(tmp_path):
        int8(plain, digits, tmp_path)
    assert [(p.name, p.read_bytes()) for p in sorted(plain[1].folder.iterdir())] == before


@pytest.mark.parametrize("scheme", ["fp16", "bf16"])
def test_keep_float_has_no_meaning_where_the_type_is_one(scheme, plain, digits, tmp_path):
    config = QuantizeConfig(scheme=scheme, keep_float=("linear",))
    with pytest.raises(RequestError, match="one type throughout"):
        int8(plain, digits, tmp_path, config, "openvino-half")


def test_fp16_halves_the_weights_and_is_computed_in_float32(plain, digits, tmp_path):
    file = int8(plain, digits, tmp_path, QuantizeConfig(scheme="fp16"), "openvino-half")
    ratio = (tmp_path / "model.bin").stat().st_size / (plain[1].folder / "model.bin").stat().st_size
    assert 0.49 < ratio < 0.53
    session = opened(file)
    assert session._program.get_property("INFERENCE_PRECISION_HINT") == "f32"
    wanted = predict(plain[0].module, digits.test, 64, np.arange(64))
    found = session.run(digits.test.batch(np.arange(64))[0])["output"]
    assert 1e-6 < np.abs(found - wanted).max() / wanted.std() < 0.05


def test_bf16_on_a_cpu_without_it_is_one_sentence(plain, digits, tmp_path, monkeypatch):
    from artifacts.errors import TargetUnavailable
    from compress.quantizers.openvino import half

    monkeypatch.setattr(half, "instructions", lambda: ("avx2",))
    with pytest.raises(TargetUnavailable, match="AVX512_BF16 or AMX"):
        int8(plain, digits, tmp_path, QuantizeConfig(scheme="bf16"), "openvino-half")
