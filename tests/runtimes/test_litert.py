"""LiteRT in its own environment: conversion, integer kernels, external files, and what is said where it is missing."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.arrays import load_arrays, save_arrays
from artifacts.environments import LITERT
from artifacts.errors import ModelError, RequestError, TargetUnavailable
from artifacts.specs import Signature, TensorSpec
from artifacts.types import Engine, ModelRef, TorchModel
from benchmarks.process.child import Child
from compress.configs import QuantizeConfig
from compress.quantizers import QUANTIZERS, Calibration
from export.registry import FORMATS
from runtimes.litert.runtime import _delegated
from runtimes.probe import probe
from runtimes.registry import find
from tightship.benching.bench import engine_of
from zoo.readers import read_digits
from zoo.resnet import resnet
from zoo.signatures import trace_signature

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
here = pytest.mark.skipif(LITERT.version("ai-edge-litert") is None, reason="LiteRT is missing: make venv-litert")


def deployed(engine, inputs, folder, batch, threads=1):
    """The outputs of an engine in its own process, and its placement."""
    save_arrays(folder / "in.npz", inputs)
    save_arrays(folder / "first.npz", {k: v[:1] for k, v in inputs.items()})
    with Child(engine, folder / "log", threads) as child:
        child.open(folder / "first.npz")
        child.run(folder / "in.npz", folder / "out.npz", batch)
        return load_arrays(folder / "out.npz"), child.placement()


def test_where_it_is_missing_the_one_command_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv(LITERT.variable, str(tmp_path / "none"))
    found = probe(find("litert-xnnpack"))
    assert not found.available
    assert found.reason == f"ai-edge-litert is not installed: {LITERT.command}"
    model = TorchModel(nn.Linear(2, 2), ModelRef(), Signature((TensorSpec("x", "float32", ("batch", 2)),)))
    for write in (FORMATS["litert"].load(), lambda m, f: Child(Engine("litert-xnnpack", f, m.signature), f / "log")):
        with pytest.raises(TargetUnavailable, match=r"TIGHTSHIP_LITERT is .*python3\.11 -m venv"):
            write(model, tmp_path)


def test_a_delegate_takes_what_lies_between_its_inputs_and_its_outputs():
    def operator(index, inputs, outputs):
        return {"index": index, "inputs": np.array(inputs), "outputs": np.array(outputs)}

    chain = [operator(0, [0, 9], [1]), operator(1, [1], [2]), operator(2, [2, -1], [3]), operator(3, [3, 1], [4])]
    assert _delegated(chain, []) == set()
    assert _delegated(chain, [operator(9, [0, 9], [4])]) == {0, 1, 2, 3}
    # the second one stays outside: two partitions around it
    assert _delegated(chain, [operator(9, [0, 9], [1]), operator(10, [2, 1], [4])]) == {0, 2, 3}


def test_four_bit_weights_are_refused_before_any_work(tmp_path):
    config = QuantizeConfig(weight_bits=4)
    with pytest.raises(RequestError, match=r"weight_bits: 4 is not for LiteRT.*precisions: \[fp32\]"):
        QUANTIZERS["litert-int8"].load()(None, tmp_path, Calibration(read_digits().train, config, 0, None))


@here
def test_it_says_with_what_it_works():
    found = probe(find("litert-xnnpack"))
    assert found.available
    assert found.reason.startswith("ai-edge-litert 2.")


@here
def test_a_broken_file_is_one_sentence(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"nothing" * 100)
    with pytest.raises(RequestError, match=r"LiteRT cannot open model\.tflite") as caught:
        engine_of(path, None, None)
    assert "\n" not in str(caught.value)


@here
@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "kind", "shape"),
    [("kws_ref_model", "int8", (49, 10, 1)), ("ad01_fp32", "float32", (640,)), ("vww_96_int8", "int8", (96, 96, 3))],
)
def test_a_foreign_file_says_what_it_takes_and_runs(tmp_path, name, kind, shape):
    """MLPerf Tiny's reference models."""
    engine = engine_of(Path(os.environ["TIGHTSHIP_DATA"]) / "mlperf_tiny" / f"{name}.tflite", None, None)
    (taken,) = engine.signature.inputs
    # their batch is the caller's to choose
    assert (taken.dtype, taken.shape[1:]) == (kind, shape)
    assert isinstance(taken.shape[0], str)
    inputs = {taken.name: np.random.default_rng(0).integers(-9, 9, (3, *shape)).astype(kind)}
    outputs, placement = deployed(engine, inputs, tmp_path, 3)
    (given,) = engine.signature.outputs
    assert outputs[given.name].dtype == given.dtype
    assert outputs[given.name].shape == (3, *given.shape[1:])
    assert placement.fallback_share < 1
    if name == "kws_ref_model":
        np.testing.assert_allclose(
            outputs[given.name].astype(int).sum(1) + 12 * 128, 256, atol=3
        )  # a softmax in steps of 1/256


class Two(nn.Module):
    """Words and a vector in, a dict out."""

    def __init__(self):
        super().__init__()
        self.words, self.left, self.right = nn.Embedding(7, 6), nn.Linear(6, 3), nn.Linear(4, 3)

    def forward(self, words, vector):
        seen = self.left(self.words(words).mean(1))
        return {"sum": seen + self.right(vector), "largest": seen.argmax(1)}


@here
@pytest.mark.slow
def test_two_inputs_whole_numbers_and_a_dict_keep_names_types_and_values(tmp_path):
    torch.manual_seed(0)
    inputs = (TensorSpec("words", "int64", ("batch", 5)), TensorSpec("vector", "float32", ("batch", 4)))
    outputs = (TensorSpec("sum", "float32", ("batch", 3)), TensorSpec("largest", "int64", ("batch",)))
    model = TorchModel(Two().eval(), ModelRef(), Signature(inputs, outputs))
    file = FORMATS["litert"].load()(model, tmp_path)
    rng = np.random.default_rng(1)
    fed = {"vector": rng.normal(size=(7, 4)).astype(np.float32), "words": rng.integers(0, 7, (7, 5))}
    found, _ = deployed(find("litert-xnnpack").runtime().build(file, tmp_path), fed, tmp_path, 4, threads=2)
    with torch.no_grad():
        wanted = model.module(torch.from_numpy(fed["words"]), torch.from_numpy(fed["vector"]))
    np.testing.assert_allclose(found["sum"], wanted["sum"].numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found["largest"], wanted["largest"].numpy())
    assert found["largest"].dtype == np.int64
    # the file itself has these names
    said = engine_of(tmp_path / "model.tflite", None, None).signature
    assert {s.name for s in said.inputs} == {"words", "vector"}
    assert {s.name for s in said.outputs} == {"sum", "largest"}


@here
@pytest.mark.slow
def test_int8_runs_in_the_delegate_and_kept_layers_stay_float(tmp_path):
    torch.manual_seed(0)
    digits = read_digits()
    module = resnet(depth=8, width=8, classes=10, channels=1).eval()
    model = TorchModel(module, ModelRef(), trace_signature(module, digits))
    (tmp_path / "float").mkdir()
    plain = FORMATS["litert"].load()(model, tmp_path / "float")
    inputs = digits.test.batch(np.arange(40))[0]
    runtime = find("litert-xnnpack").runtime()
    float_outputs, _ = deployed(runtime.build(plain, tmp_path), inputs, tmp_path, 40)
    sizes, errors, casts = {}, {}, {}
    name = model.signature.outputs[0].name
    for label, kept in {"all": (), "kept": ("layer2",)}.items():
        config = QuantizeConfig(calibration_samples=64, keep_float=kept)
        (tmp_path / label).mkdir()
        file = QUANTIZERS["litert-int8"].load()(plain, tmp_path / label, Calibration(digits.train, config, 0, model))
        assert file.precision == "int8"
        found, placement = deployed(runtime.build(file, tmp_path), inputs, tmp_path, 40)
        assert placement.fallback_share == 0
        sizes[label] = file.path.stat().st_size
        errors[label] = float(np.abs(found[name] - float_outputs[name]).max() / float_outputs[name].std())
        casts[label] = placement.accelerated["DEQUANTIZE"]
    assert 0 < errors["all"] < 0.5
    assert sizes["all"] < 0.5 * plain.path.stat().st_size
    assert sizes["all"] < sizes["kept"] < plain.path.stat().st_size
    assert casts["kept"] > casts["all"] == 1
    unknown = Calibration(digits.train, QuantizeConfig(keep_float=("layer9",)), 0, model)
    with pytest.raises(RequestError, match="keep_float: the model has no layer 'layer9'"):
        QUANTIZERS["litert-int8"].load()(plain, tmp_path, unknown)


@here
@pytest.mark.slow
def test_an_operator_that_the_converter_lacks_is_one_sentence(tmp_path):
    class Odd(nn.Module):
        def forward(self, x):
            return torch.linalg.eigvalsh(x.unsqueeze(-1) * x.unsqueeze(-2))

    signature = Signature((TensorSpec("x", "float32", ("batch", 3)),), (TensorSpec("y", "float32", ("batch", 3)),))
    with pytest.raises(ModelError, match="cannot be converted to LiteRT") as caught:
        FORMATS["litert"].load()(TorchModel(Odd().eval(), ModelRef(), signature), tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model.tflite").exists()
