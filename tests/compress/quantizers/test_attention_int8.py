"""int8 of networks with attention, masks, joined tensors and computed weights stays near the float network on each runtime."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from artifacts.errors import ModelError
from artifacts.types import ModelRef, TorchModel
from compress.configs import QuantizeConfig
from compress.quantizers import QUANTIZERS, Calibration
from compress.training.loop import predict
from export.registry import FORMATS
from runtimes.registry import find
from zoo.data import from_factory
from zoo.signatures import trace_signature

T, D = 10, 16


class Attention(nn.Module):
    """One block of attention over series (N, 10, 3), with its mask made in one of the ways that code has."""

    def __init__(self, mask):
        super().__init__()
        self.mask = mask
        self.enter, self.norm, self.norm2 = nn.Linear(3, D), nn.LayerNorm(D), nn.LayerNorm(D)
        self.qkv, self.leave = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.up, self.down, self.fc = nn.Linear(D, 32), nn.Linear(32, D), nn.Linear(D, 4)

    def forward(self, series):
        x = self.enter(series)
        q, k, v = (part.view(-1, T, 4, 4).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, -1))
        later = torch.triu(torch.ones(T, T, dtype=torch.bool), 1)
        if self.mask == "causal":
            z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = q @ k.transpose(-1, -2) / 2
            if self.mask == "-inf":
                scores = scores.masked_fill(later, float("-inf"))
            elif self.mask == "lowest":
                scores = scores + torch.zeros(T, T).masked_fill(later, torch.finfo(torch.float32).min)
            elif self.mask == "-1e9":
                scores = scores + later.float() * -1e9
            z = scores.softmax(-1) @ v
        x = x + self.leave(z.transpose(1, 2).reshape(-1, T, D))
        return self.fc((x + self.down(F.gelu(self.up(self.norm2(x))))).mean(1))


class Joined(nn.Module):
    """Branches of different reach, one averaged over windows beyond the border, put together."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(1, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 1, 1), nn.Conv2d(8, 8, 1)
        self.d, self.fc = nn.Conv2d(24, 16, 3, 2, 1), nn.Linear(16, 4)

    def forward(self, image):
        x = self.a(image).relu()
        y, z = 3 * self.b(x).relu(), F.avg_pool2d(self.c(x), 3, 1, 1)
        return self.fc(self.d(torch.cat([x, y, z], 1)).relu().mean((2, 3)))


class Normed(nn.Module):
    """Weights that are computed from others."""

    def __init__(self):
        super().__init__()
        self.a = nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 8, 3))
        self.b = nn.utils.parametrizations.weight_norm(nn.Linear(8, 16))
        self.fc = nn.Linear(16, 4)

    def forward(self, image):
        return self.fc(self.b(self.a(image).relu().mean((2, 3))).relu())


NETS = {mask: (lambda mask=mask: Attention(mask), (T, 3)) for mask in ("none", "causal", "-inf", "lowest", "-1e9")}
NETS |= {"joined": (Joined, (1, 8, 8)), "weight norm": (Normed, (1, 8, 8))}


def model_of(name):
    build, shape = NETS[name]
    torch.manual_seed(0)
    network = build().eval()
    x = np.random.default_rng(0).normal(size=(128, *shape)).astype(np.float32)
    part = {"series" if len(shape) == 2 else "image": x}, np.arange(128) % 4
    data = from_factory("f", (part, part))
    return TorchModel(network, ModelRef(), trace_signature(network, data)), data


def deployed(model, data, name, folder, config):
    """What the int8 file of a target gives for all examples."""
    target = find(name)
    quantizer, calibration = QUANTIZERS.find(target.quantizer), Calibration(data.train, config, 0, model)
    write = FORMATS.find(target.formats[0]).load()
    if quantizer.works_on == "module":
        file = write(replace(model, module=quantizer.load()(calibration)), folder)
    else:
        plain, out = folder / "plain", folder / "int8"
        plain.mkdir()
        out.mkdir()
        file = quantizer.load()(write(model, plain), out, calibration)
    runtime = target.runtime()
    session = runtime.open(runtime.build(file, folder / "engine"), 1)
    (inputs, _), size = data.train.batch(np.arange(128)), file.signature.most(32)
    parts = [session.run({n: np.ascontiguousarray(v[i : i + size]) for n, v in inputs.items()}) for i in range(0, 128, size)]
    return np.concatenate([next(iter(part.values())) for part in parts]), file


def apart(found, wanted):
    return float(np.sqrt(np.mean((found - wanted) ** 2)) / wanted.std())


@pytest.mark.parametrize("name", NETS)
def test_onnx_runtimes_int8_is_near(name, tmp_path):
    model, data = model_of(name)
    found, file = deployed(model, data, "onnxruntime-cpu", tmp_path, QuantizeConfig(calibration_samples=64))
    assert apart(found, predict(model.module, data.train)) < 0.05
    told = " ".join(file.notes)
    assert ("left in float" in told) == isinstance(model.module, Attention)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["openvino-cpu", "executorch-xnnpack"])
@pytest.mark.parametrize("name", NETS)
def test_other_runtimes_int8_is_near(name, target, tmp_path):
    model, data = model_of(name)
    found, _ = deployed(model, data, target, tmp_path, QuantizeConfig(calibration_samples=64))
    assert apart(found, predict(model.module, data.train)) < 0.08


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnxruntime-cpu", "openvino-cpu", "executorch-xnnpack"])
@pytest.mark.parametrize("name", ["-inf", "joined", "weight norm"])
def test_what_is_trained_for_int8_is_what_is_deployed(name, target, tmp_path):
    from compress.qat import simulate, train_quantized

    model, data = model_of(name)
    config = QuantizeConfig(calibration_samples=64, qat_epochs=1)
    trained = train_quantized(model, config, data.train, seed=0)
    found, _ = deployed(trained, data, target, tmp_path, config)
    assert apart(found, predict(simulate(trained, config), data.train)) < 0.05


def test_a_tensor_that_is_no_number_is_still_refused(tmp_path):
    class Broken(nn.Module):
        def forward(self, series):
            return (series - 100).sqrt().mean(1)

    x = np.ones((64, T, 3), np.float32)
    data = from_factory("f", (({"series": x}, np.zeros(64, int)), ({"series": x}, np.zeros(64, int))))
    model = TorchModel(Broken(), ModelRef(), model_of("none")[0].signature)
    with pytest.raises(ModelError, match="mend the model"):
        deployed(model, data, "onnxruntime-cpu", tmp_path, QuantizeConfig(calibration_samples=16))
