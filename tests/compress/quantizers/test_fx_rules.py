"""What PyTorch's own int8 computes wrongly stays in float; each rule with a test that fails once the library is mended."""

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.types import ModelRef, TorchModel
from compress.configs import QuantizeConfig
from compress.quantizers import Calibration
from compress.quantizers.pt2e import fx_int8
from zoo.data import from_factory
from zoo.signatures import trace_signature


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))

    def forward(self, image):
        x = self.a(image).relu()
        x = torch.add(x, self.b(x).relu(), alpha=4)
        return x.sub(self.c(x).relu(), alpha=0.5)


class Transposed(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.up = nn.Conv2d(3, 8, 3, padding=1), nn.ConvTranspose2d(8, 4, 4, 2, 1)
        self.b = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, image):
        return self.b(self.up(self.a(image).relu()).relu())


def off(build):
    """How far the int8 network is from the float one, in spreads of its output."""
    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(64, 3, 8, 8)).astype(np.float32)
    part = {"image": x}, np.zeros(64, np.int64)
    data = from_factory("f", (part, part))
    network = build().eval()
    model = TorchModel(network, ModelRef(), trace_signature(network, data))
    made = fx_int8.quantize(Calibration(data.train, QuantizeConfig(calibration_samples=32), 0, model))
    with torch.no_grad():
        wanted, found = network(torch.from_numpy(x)), made(torch.from_numpy(x))
    return float((found - wanted).square().mean().sqrt() / wanted.std())


@pytest.mark.parametrize("build", [Scaled, Transposed], ids=["alpha", "transposed"])
def test_the_int8_network_is_near(build):
    assert off(build) < 0.1


def test_alpha_is_dropped_by_the_library(monkeypatch):
    monkeypatch.setattr(fx_int8, "keep_alpha", lambda prepared: 0)
    assert off(Scaled) > 0.3
