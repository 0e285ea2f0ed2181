"""Core ML: what is known of a package without a Mac, the same bytes each time, and that nothing here says it ran."""

import platform
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.errors import ModelError, RequestError, TargetUnavailable
from artifacts.files import sha256_file, walk
from artifacts.specs import Signature, TensorSpec
from artifacts.types import Engine, ModelRef, TorchModel
from compress.configs import QuantizeConfig
from compress.quantizers import QUANTIZERS, Calibration
from export.registry import FORMATS
from runtimes.registry import find
from zoo.readers import read_digits
from zoo.resnet import resnet

pytest.importorskip("coremltools")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")

SCHEMES = ("fp32", "fp16", "int8-weights", "palette4-weights")
ON_A_MAC = platform.system() == "Darwin"


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    options = {"depth": 8, "width": 8, "classes": 10, "channels": 1}
    signature = Signature(
        (TensorSpec("image", "float32", ("batch", 1, 8, 8)),), (TensorSpec("logits", "float32", ("batch", 10)),)
    )
    return TorchModel(resnet(**options).eval(), ModelRef("resnet", options=options), signature)


def make(model, scheme, folder, **options):
    """The package of a model in a scheme, as a run makes it."""
    folder.mkdir()
    write = FORMATS["coreml"].load()
    if scheme == "fp32":
        return write(model, folder)
    calibration = Calibration(read_digits().train, QuantizeConfig(scheme=scheme, **options), 0, model)
    quantizer = QUANTIZERS[find("coreml").quantizer_for(scheme)]
    if quantizer.works_on == "module":
        return replace(write(replace(model, module=quantizer.load()(calibration)), folder), precision=scheme)
    (folder.parent / f"{folder.name}-plain").mkdir()
    return quantizer.load()(write(model, folder.parent / f"{folder.name}-plain"), folder, calibration)


@pytest.fixture(scope="module")
def packages(model, tmp_path_factory):
    """The package of each scheme."""
    root = tmp_path_factory.mktemp("packages")
    return {scheme: make(model, scheme, root / scheme) for scheme in SCHEMES}


def bytes_of(file):
    return sum(path.stat().st_size for _, path in walk(file.folder))


def checked(file, model):
    from export.coreml.check import inspect

    return inspect(file, model)


@pytest.mark.parametrize(
    ("scheme", "stored", "computes"),
    [
        ("fp32", "19,464 values in fp32", "fp32"),
        ("fp16", "19,464 values in fp16", "fp16"),
        ("int8-weights", "19,464 values in int8", "fp32"),
        ("palette4-weights", "19,464 values in 4-bit palette", "fp32"),
    ],
)
def test_a_package_is_what_was_asked_for(packages, model, scheme, stored, computes):
    found = checked(packages[scheme], model)
    assert found["inputs"] == "image fp32 [1, 1, 8, 8], as the model's"
    assert found["outputs"] == "logits fp32 [1, 10], as the model's"
    assert found["needs"] == "iOS 16, macOS 13 or later"
    assert found["weights"] == stored
    assert found["computes in"] == f"{computes}, in 22 operations"
    assert found["values of weights"].startswith("10 of 10 found")
    assert "macOS only" in found["values of outputs"]


def test_fewer_bits_are_fewer_bytes(packages):
    sizes = {scheme: bytes_of(packages[scheme]) for scheme in SCHEMES}
    assert sizes["palette4-weights"] < sizes["int8-weights"] < sizes["fp16"] < sizes["fp32"]
    # 19,464 weights lose three of their four bytes
    assert sizes["fp32"] - sizes["int8-weights"] > 0.9 * 3 * 19_464


def test_the_same_model_gives_the_same_bytes(packages, model, tmp_path):
    again = make(model, "int8-weights", tmp_path / "again")
    digests = [{n: sha256_file(p) for n, p in walk(f.folder)} for f in (packages["int8-weights"], again)]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 3


def test_a_package_that_is_not_what_was_asked_for_is_refused(packages, model):
    with pytest.raises(ModelError, match="stores its weights in int8, where 4-bit palette was asked for"):
        checked(replace(packages["int8-weights"], precision="palette4-weights"), model)
    with pytest.raises(ModelError, match="computes in fp16, where fp32 was asked for"):
        checked(replace(packages["fp16"], precision="fp32"), model)
    spec = packages["fp32"].signature
    other = replace(spec, outputs=(replace(spec.outputs[0], shape=(1, 11)),))
    with pytest.raises(ModelError, match=r"output 'logits' of the Core ML package is fp32 \[1, 10\], but .* \[1, 11\]"):
        checked(replace(packages["fp32"], signature=other), model)


def test_a_package_of_other_weights_is_refused_by_its_layer(packages, model):
    import copy

    other = replace(model, module=copy.deepcopy(model.module))
    with torch.no_grad():
        other.module.layer2[0].conv1.weight.mul_(1.5)
    with pytest.raises(ModelError, match=r"'layer2\.0\.conv1\.weight' in the Core ML package is .* spreads from the model's"):
        checked(packages["fp32"], other)


def test_a_broken_package_is_one_sentence(packages, model, tmp_path):
    (tmp_path / "model.mlpackage").mkdir()
    with pytest.raises(ModelError, match="cannot be read back"):
        checked(replace(packages["fp32"], folder=tmp_path), model)


@pytest.mark.slow
def test_layers_that_stay_in_float_do(model, tmp_path):
    found = checked(make(model, "int8-weights", tmp_path / "kept", keep_float=("linear",)), model)
    assert found["weights"] == "19,144 values in int8; 320 values in fp32"
    with pytest.raises(RequestError, match="no layer 'liner'"):
        make(model, "int8-weights", tmp_path / "wrong", keep_float=("liner",))
    with pytest.raises(RequestError, match="one type throughout"):
        make(model, "fp16", tmp_path / "half", keep_float=("linear",))


class TwoNamed(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.last = nn.Embedding(5, 4), nn.Linear(4, 2)

    def forward(self, tokens, weight):
        made = self.table(tokens).mean(dim=1) * weight
        return {"scores": self.last(made), "mean": made}


def test_64_bit_inputs_become_32_bit_ones_and_named_outputs_keep_their_names(tmp_path):
    specs = (TensorSpec("tokens", "int64", ("batch", 3)), TensorSpec("weight", "float32", ("batch", 4)))
    made = (TensorSpec("scores", "float32", ("batch", 2)), TensorSpec("mean", "float32", ("batch", 4)))
    model = TorchModel(TwoNamed().eval(), ModelRef(), Signature(specs, made))
    found = checked(make(model, "fp32", tmp_path / "two"), model)
    assert found["inputs"] == "tokens int32 [1, 3], weight fp32 [1, 4], as the model's"
    assert found["outputs"] == "scores fp32 [1, 2], mean fp32 [1, 4], as the model's"


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.gates, self.last = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x):
        return self.last(self.gates(x)[0][:, -1])


def test_the_weights_of_a_recurrent_layer_are_found_though_its_gates_are_in_another_order(tmp_path):
    signature = Signature((TensorSpec("x", "float32", ("batch", 5, 4)),), (TensorSpec("output", "float32", ("batch", 2)),))
    model = TorchModel(Recurrent().eval(), ModelRef(), signature)
    found = checked(make(model, "fp32", tmp_path / "lstm"), model)
    assert found["values of weights"].startswith("3 of 3 found")


@pytest.mark.skipif(ON_A_MAC, reason="says what happens where Core ML is not")
def test_elsewhere_it_does_not_run_and_says_so(packages):
    answer = find("coreml").runtime().probe()
    assert (answer.available, answer.reason) == (False, "Core ML runs on macOS only")
    assert find("coreml").runs_elsewhere
    with pytest.raises(TargetUnavailable, match=r"runs on macOS only, and this is .*; copy model\.mlpackage to a Mac"):
        find("coreml").runtime().open(Engine("coreml", packages["fp32"].path, packages["fp32"].signature), 1)


@pytest.mark.skipif(not ON_A_MAC, reason="Core ML runs on macOS only")
def test_on_a_mac_the_package_computes_what_the_model_does(packages, model):
    runtime = find("coreml").runtime()
    file = packages["fp32"]
    session = runtime.open(runtime.build(file, file.folder), 1)
    image = read_digits().test.batch(np.arange(5))[0]["image"]
    found = session.run({"image": image})["logits"]
    assert np.abs(found - model.module(torch.from_numpy(image)).detach().numpy()).max() < 1e-2
    placement = session.placement()
    assert sum(placement.accelerated.values()) + sum(placement.fallback.values()) >= 22
