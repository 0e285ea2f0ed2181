"""How weights are rounded, and which are not: 4 bits, one scale or one per channel, layers that stay float."""

import importlib.util

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from artifacts.errors import RequestError
from artifacts.specs import Signature
from artifacts.types import Engine
from benchmarks.parity.parity import QUANTIZED, SIMULATED, Case, evaluate
from compress.configs import QuantizeConfig
from compress.fakequant import FakeQuantize, weight_fake_quantize
from compress.fold import fold
from compress.qat import simulate, train_quantized
from compress.quantizers import QUANTIZERS, Calibration
from compress.quantizers.layers import names_layer, nodes_of
from compress.quantizers.rounding import rounded
from export.onnx.export import export
from runtimes.onnxruntime.runtime import OnnxRuntimeCpu

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")

MODULES = ["fx-int8", *(["pt2e-xnnpack"] if importlib.util.find_spec("executorch") else [])]


def file_of(model, digits, tmp_path, config, quantizer="onnx-qdq"):
    for name in ("plain", "int8"):
        (tmp_path / name).mkdir()
    plain = export(model, tmp_path / "plain")
    return QUANTIZERS[quantizer].load()(plain, tmp_path / "int8", Calibration(digits.train, config, 0, model))


def weights(file) -> list:
    found = {i.name: numpy_helper.to_array(i) for i in onnx.load(file.path).graph.initializer}
    return [v for v in found.values() if v.dtype == np.int8 and v.ndim > 1]


def run(file, digits, count=300):
    session = OnnxRuntimeCpu().open(Engine("onnxruntime-cpu", file.path, Signature(())), 1)
    return session.run(digits.test.batch(np.arange(count))[0]), session.placement()


def images(digits, count=300):
    return torch.from_numpy(digits.test.batch(np.arange(count))[0]["image"])


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", ["onnx-qdq", "onnx-qdq-symmetric"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_4_bit_weights_are_stored_as_integers_and_run_as_integers(digits, tiny, tmp_path, quantizer, per_channel):
    config = QuantizeConfig(calibration_samples=128, weight_bits=4, per_channel=per_channel)
    file = file_of(tiny, digits, tmp_path, config, quantizer)
    found = weights(file)
    assert len(found) == 10
    assert {int(np.abs(w).max()) for w in found} == {7}
    assert any("4 bits (-7..7) stored and run as int8" in note for note in file.notes)
    outputs, placement = run(file, digits)
    if quantizer == "onnx-qdq":
        assert not placement.fallback
    with torch.no_grad():
        expected = {"output": rounded(tiny, config)(images(digits)).numpy()}
    record = evaluate([Case("real", True, expected, outputs)], QUANTIZED, "", True)
    assert record.passed, record.first_bad


def test_4_bits_are_worth_less_than_8(digits, tiny, tmp_path):
    with torch.no_grad():
        plain = tiny.module(images(digits))
        errors = [float((rounded(tiny, QuantizeConfig(weight_bits=b))(images(digits)) - plain).std()) for b in (8, 4)]
    assert errors[1] > 5 * errors[0]


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"weight_bits": 4}, {"per_channel": False}, {"keep_float": ("conv", "fc")}])
def test_what_was_trained_is_what_is_deployed(digits, tiny, tmp_path, options):
    owners = [n for n, _ in tiny.module.named_modules()]
    if "keep_float" in options:
        options = {"keep_float": (first_layer(tiny), last_layer(tiny))}
        assert set(options["keep_float"]) <= set(owners)
    config = QuantizeConfig(calibration_samples=64, qat_epochs=1, samples=256, learning_rate=1e-3, **options)
    trained = train_quantized(tiny, config, digits.train, seed=0)
    outputs, _ = run(file_of(trained, digits, tmp_path, config), digits)
    with torch.no_grad():
        expected = {"output": simulate(trained, config)(images(digits)).numpy()}
    record = evaluate([Case("real", True, expected, outputs)], SIMULATED, "", True)
    assert record.passed, record.first_bad


def layers(model):
    return [n for n, m in model.module.named_modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]


def first_layer(model):
    return layers(model)[0]


def last_layer(model):
    return layers(model)[-1]


def test_training_at_4_bits_moves_weights_on_the_4_bit_grid(digits, tiny):
    config = QuantizeConfig(calibration_samples=64, qat_epochs=1, samples=128, weight_bits=4)
    made = simulate(train_quantized(tiny, config, digits.train, seed=0), config)
    nodes = [n for n in made.graph.nodes if n.target is weight_fake_quantize]
    assert len(nodes) == 10
    assert all(n.args[1:] == (7, True) for n in nodes)
    assert sum(isinstance(m, FakeQuantize) for m in made.modules()) > 10


@pytest.mark.parametrize("bits", [8, 4])
def test_one_scale_for_a_whole_weight_when_asked(bits):
    limit = 2 ** (bits - 1) - 1
    weight = torch.randn(6, 5, 3, 3, generator=torch.Generator().manual_seed(0))
    made = weight_fake_quantize(weight, limit, per_channel=False)
    levels = made / (weight.abs().max() / limit)
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
    assert len(made.unique()) <= 2 * limit + 1


@pytest.mark.parametrize("scale", ["per channel", "one"])
def test_onnx_scales_are_per_channel_or_one(digits, tiny, tmp_path, scale):
    config = QuantizeConfig(calibration_samples=64, per_channel=scale == "per channel")
    graph = onnx.load(file_of(tiny, digits, tmp_path, config).path).graph
    scales = [numpy_helper.to_array(i) for i in graph.initializer if "weight" in i.name and i.name.endswith("_scale")]
    assert len(scales) == 10
    assert all((s.size > 1) == (scale == "per channel") for s in scales)


def test_a_kept_layer_runs_in_float_in_the_onnx_file_and_the_others_do_not(digits, tiny, tmp_path):
    kept = first_layer(tiny)
    file = file_of(tiny, digits, tmp_path, QuantizeConfig(calibration_samples=64, keep_float=(kept,)))
    assert len(weights(file)) == 9
    _, placement = run(file, digits)
    assert sum(n for k, n in placement.fallback.items() if "Conv" in k) == 1
    assert placement.accelerated["QLinearConv"] == 8
    assert any("1 operators kept in float" in note for note in file.notes)


def test_a_name_covers_all_that_is_inside_it(digits, tiny, tmp_path):
    block = next(n.rpartition(".")[0] for n in layers(tiny) if n.count(".") >= 2)
    inside = [n for n in layers(tiny) if names_layer(n + ".weight", [block])]
    proto = onnx.load(export(tiny, tmp_path).path)
    assert len(nodes_of(proto, tiny, [block])) == len(inside) > 1


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_modules_keep_named_layers_in_float(digits, tiny, name):
    kept = last_layer(tiny)
    made = [quantized(name, tiny, digits, keep_float=k) for k in ((), (kept,))]
    assert integer_layers(name, made[1]) == integer_layers(name, made[0]) - 1
    with torch.no_grad():
        plain, rounded_ = tiny.module(images(digits, 1)), made[1](images(digits, 1))
    assert float((plain - rounded_).abs().max()) < float(plain.std())


def quantized(name, model, digits, **options):
    config = QuantizeConfig(calibration_samples=32, **options)
    return QUANTIZERS[name].load()(Calibration(digits.train, config, 0, model))


def integer_layers(name, module) -> int:
    if name == "fx-int8":
        return sum(hasattr(m, "weight") and "quantized" in type(m).__module__ for m in module.modules())
    return sum("dequantize_per_channel" in str(n.target) for n in module.graph.nodes)


def test_fx_rounds_weights_to_4_bits_and_to_one_scale(digits, tiny):
    made = quantized("fx-int8", tiny, digits, weight_bits=4, per_channel=False)
    found = [m.weight() for m in made.modules() if hasattr(m, "weight") and "quantized" in type(m).__module__]
    assert len(found) == 10
    assert all(w.qscheme() == torch.per_tensor_affine and int(w.int_repr().abs().max()) == 7 for w in found)
    made = quantized("fx-int8", tiny, digits, weight_bits=4)
    found = [m.weight() for m in made.modules() if hasattr(m, "weight") and "quantized" in type(m).__module__]
    assert all(w.qscheme() == torch.per_channel_affine and w.q_per_channel_axis() == 0 for w in found)
    assert all(int(w.int_repr().abs().max()) == 7 for w in found)


@pytest.mark.slow
@pytest.mark.skipif("pt2e-xnnpack" not in MODULES, reason="needs executorch")
def test_xnnpack_rounds_weights_to_4_bits(digits, tiny):
    made = quantized("pt2e-xnnpack", tiny, digits, weight_bits=4)
    stored = [t for n, t in made.state_dict().items() if t.dtype == torch.int8]
    assert len(stored) >= 10
    assert {int(t.abs().max()) for t in stored if t.ndim > 1} == {7}
    assert integer_layers("pt2e-xnnpack", quantized("pt2e-xnnpack", tiny, digits, per_channel=False)) == 0


@pytest.mark.parametrize("name", [*MODULES, "onnx-qdq"])
def test_an_unknown_layer_is_one_sentence(digits, tiny, tmp_path, name):
    config = QuantizeConfig(calibration_samples=8, keep_float=("nowhere",))
    given = (export(tiny, tmp_path), tmp_path) if name == "onnx-qdq" else ()
    with pytest.raises(RequestError, match="no layer 'nowhere' with a weight") as caught:
        QUANTIZERS[name].load()(*given, Calibration(digits.train, config, 0, tiny))
    assert "\n" not in str(caught.value)
    with pytest.raises(RequestError, match="nowhere"):
        train_quantized(tiny, config, digits.train, seed=0)


def test_folded_names_are_those_of_the_modules(tiny):
    folded = fold(tiny.module, tiny.signature).state_dict()
    assert all(f"{name}.weight" in folded for name in layers(tiny))
