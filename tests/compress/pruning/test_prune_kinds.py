"""Kinds of networks, each cut to six tenths: what leaves, what the rest computes; it replays, exports and quantizes."""

import copy
from functools import partial

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from artifacts.specs import Signature, TensorSpec
from artifacts.types import Cut, ModelRef, TorchModel
from compress.configs import PruneConfig, QuantizeConfig
from compress.counting import parameters
from compress.edits.cuts import graph, silenced, width
from compress.edits.replay import replay
from compress.pruning.steps import prune
from compress.pruning.structured import cuttable, with_cuts
from compress.pruning.units import SINGLE, Units
from compress.quantizers import QUANTIZERS, Calibration
from export.onnx.export import export
from zoo.splits import ArraySplit


class Chain(nn.Module):
    """Layers, then the mean over all places and a linear layer."""

    def __init__(self, *layers, channels=16):
        super().__init__()
        self.layers, self.head = nn.Sequential(*layers), nn.Linear(channels, 4)

    def forward(self, x):
        return self.head(self.layers(x).flatten(2).mean(2))


class Decoder(nn.Module):
    """A code, unflattened by a fixed number of channels, and transposed convolutions."""

    def __init__(self):
        super().__init__()
        self.lift, self.up = nn.Linear(12, 8 * 16), nn.ConvTranspose2d(8, 16, 4, 2, 1)
        self.norm, self.last = nn.BatchNorm2d(16), nn.ConvTranspose2d(16, 2, 4, 2, 1)

    def forward(self, x):
        return self.last(F.relu(self.norm(self.up(F.relu(self.lift(x)).view(-1, 8, 4, 4)))))


class Bottleneck(nn.Module):
    """A residual block of grouped convolutions."""

    def __init__(self, norm=nn.BatchNorm2d):
        super().__init__()
        self.stem, self.a, self.b = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 32, 1), nn.Conv2d(32, 32, 3, padding=1, groups=4)
        self.norms, self.c, self.head = nn.ModuleList(norm(32) for _ in range(2)), nn.Conv2d(32, 16, 1), nn.Linear(16, 4)

    def forward(self, x):
        x = self.stem(x)
        y = F.relu(self.norms[1](self.b(F.relu(self.norms[0](self.a(x))))))
        return self.head((x + self.c(y)).mean((2, 3)))


class Tokens(nn.Module):
    """A class token, positions, attention and a feed-forward block, with a gate or without."""

    def __init__(self, gated=False, separate=False, heads=4):
        super().__init__()
        self.embed, self.token = nn.Linear(6, 16), nn.Parameter(torch.zeros(1, 1, 16))
        self.norm, self.gated, self.heads = nn.LayerNorm(16), gated, heads
        self.projections = nn.ModuleList(nn.Linear(16, 16 if separate else 48) for _ in range(3 if separate else 1))
        self.out, self.up, self.down = nn.Linear(16, 16), nn.Linear(16, 64), nn.Linear(32 if gated else 64, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), self.embed(x)], 1)
        n, length, _ = x.shape
        y = self.norm(x)
        parts = [p(y) for p in self.projections] if len(self.projections) > 1 else self.projections[0](y).chunk(3, -1)
        q, k, v = (p.reshape(n, length, -1, 4).transpose(1, 2) for p in parts)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, length, -1))
        y = self.up(x)
        if self.gated:
            left, right = y.chunk(2, dim=-1)
            y = F.silu(left) * right
        return self.head((x + self.down(F.gelu(y)))[:, 0])


class Diffusion(nn.Module):
    """A small U-Net with group norms, to whose maps a time's embedding is added."""

    def __init__(self):
        super().__init__()
        self.time, self.add = nn.Sequential(nn.Linear(1, 16), nn.SiLU()), nn.Linear(16, 32)
        self.n1, self.n2 = nn.GroupNorm(4, 16), nn.GroupNorm(4, 32)
        self.first, self.a = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.b, self.down = nn.Conv2d(32, 16, 3, padding=1), nn.Conv2d(16, 16, 3, 2, 1)
        self.up, self.last = nn.ConvTranspose2d(16, 16, 2, 2), nn.Conv2d(32, 3, 3, padding=1)

    def forward(self, x):
        t = self.time(x.mean((1, 2, 3))[:, None])
        x = self.first(x)
        y = self.a(F.silu(self.n1(x))) + self.add(t)[:, :, None, None]
        x = x + self.b(F.silu(self.n2(y)))
        return self.last(torch.cat([self.up(F.silu(self.down(x))), x], 1))


class Style(nn.Module):
    """A learned constant whose maps are scaled and shifted by a code."""

    def __init__(self):
        super().__init__()
        self.lift, self.constant = nn.Linear(12, 16), nn.Parameter(torch.ones(1, 16, 4, 4))
        self.scale, self.conv = nn.Linear(16, 16), nn.Conv2d(16, 16, 3, padding=1)
        self.both, self.last = nn.Linear(16, 32), nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, x):
        code = F.relu(self.lift(x))
        y = F.leaky_relu(self.conv(self.constant * (1 + self.scale(code)[:, :, None, None])))
        scale, shift = self.both(code).chunk(2, 1)
        return self.last(y * (1 + scale[:, :, None, None]) + shift[:, :, None, None])


class Recurrent(nn.Module):
    """A linear layer, a recurrent one, a linear one and the head."""

    def __init__(self, kind, **options):
        super().__init__()
        self.into, self.cell = nn.Linear(6, 12), kind(12, 16, batch_first=True, **options)
        self.out, self.head = nn.Linear(32 if options.get("bidirectional") else 16, 16), nn.Linear(16, 4)

    def forward(self, x):
        return self.head(F.relu(self.out(self.cell(F.relu(self.into(x)))[0][:, -1])))


def video():
    return Chain(nn.Conv3d(3, 16, 3, padding=1), nn.BatchNorm3d(16), nn.ReLU(), nn.ConvTranspose3d(16, 16, 2, 2), nn.ReLU())


def signal():
    return Chain(nn.Conv1d(2, 16, 4, 2, 1), nn.ReLU(), nn.ConvTranspose1d(16, 16, 4, 2, 1), nn.ReLU())


FREE, IMAGE, STEPS, CODE = SINGLE, (3, 8, 8), (7, 6), (12,)
KINDS = {
    "decoder": (Decoder, CODE, {"up": FREE}),
    "video": (video, (3, 4, 8, 8), {"layers.0": FREE, "layers.3": FREE}),
    "signal": (signal, (2, 16), {"layers.0": FREE, "layers.2": FREE}),
    "grouped": (Bottleneck, IMAGE, {"stem": FREE, "a": Units(4), "b": Units(4)}),
    "grouped-norms": (lambda: Bottleneck(lambda c: nn.GroupNorm(8, c)), IMAGE, {"stem": FREE, "a": Units(8), "b": Units(8)}),
    "fused": (Tokens, STEPS, {"down": FREE, "up": FREE, "projections.0": Units(3, 4)}),
    "separate": (lambda: Tokens(True, True), STEPS, {"down": FREE, "up": Units(2), "projections.2": Units(1, 4)}),
    "diffusion": (Diffusion, IMAGE, {"first": Units(4), "a": Units(4), "time.0": FREE, "down": FREE, "up": FREE}),
    "style": (Style, CODE, {"lift": FREE, "scale": FREE, "both": Units(2)}),
    "rnn": (lambda: Recurrent(nn.RNN), STEPS, {"into": FREE, "cell": FREE, "out": FREE}),
    "gru": (lambda: Recurrent(nn.GRU, num_layers=2), STEPS, {"into": FREE, "cell": FREE, "out": FREE}),
    "lstm": (
        partial(Recurrent, nn.LSTM, num_layers=2, bidirectional=True),
        STEPS,
        {"into": FREE, "cell": Units(2), "out": FREE},
    ),
}


def made(name):
    """A network of the kind with weights that are all away from zero, a few examples, and what can be cut."""
    build, shape, expected = KINDS[name]
    torch.manual_seed(0)
    module = build()
    for parameter in module.parameters():
        nn.init.normal_(parameter, 0.05, 0.2)
    x = np.random.default_rng(0).normal(size=(24, *shape)).astype(np.float32)
    with torch.no_grad():
        y = module.eval()(torch.from_numpy(x)).numpy()
    signature = Signature((TensorSpec("x", "float32", ("batch", *shape)),))
    return TorchModel(module, ModelRef(factory="nowhere:net"), signature), ArraySplit({"x": x}, y), expected


def run(module, example):
    """Its outputs in double precision; norms over channels, whose statistics follow what is there, only scale."""
    for norm in module.modules():
        if isinstance(norm, nn.GroupNorm | nn.LayerNorm):
            norm.forward = partial(scaled, norm)
    with torch.no_grad():
        return module.double()(torch.from_numpy(example["x"]).double())


def scaled(norm, x):
    shape = (-1, 1, 1) if isinstance(norm, nn.GroupNorm) else (-1,)
    return x * norm.weight.view(shape) + norm.bias.view(shape)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_cut_rightly(name):
    model, split, expected = made(name)
    example = split.batch(np.arange(2))[0]
    good, refused = cuttable(model, example)
    assert good == expected
    assert "it makes the model's output" in refused.values()
    for layer, units in good.items():
        total = width(model.module.get_submodule(layer))
        cut = Cut(layer, True, units.channels(list(range(0, total // units.size, 3)), total))
        silent = copy.deepcopy(model.module)
        dependencies = graph(silent, example)
        remove = dependencies.get_pruner_of_module(silent.get_submodule(layer)).prune_out_channels
        silent = silenced(silent, dependencies.get_pruning_group(silent.get_submodule(layer), remove, list(cut.channels)))
        small = with_cuts(model, [cut], example).module
        assert width(small.get_submodule(layer)) == total - len(cut.channels)
        torch.testing.assert_close(run(small, example), run(silent, example))
        assert not torch.allclose(run(silent, example), run(copy.deepcopy(model.module), example), rtol=1e-3)


@pytest.mark.parametrize("name", KINDS)
def test_a_goal_is_met_with_units_whole_and_the_cuts_replay(name):
    model, split, expected = made(name)
    config = PruneConfig(parameters=0.6, align=1, steps=2, finetune_epochs=0)
    found = prune(model, config, split, seed=0).model
    assert parameters(found.module) <= 0.6 * parameters(model.module)
    for cut in found.edits:
        assert len(cut.channels) % expected[cut.layer].size == 0
    fresh = KINDS[name][0]().eval()
    replay(fresh, found.edits, split.batch(np.arange(1))[0])
    fresh.load_state_dict(found.module.state_dict())
    example = split.batch(np.arange(4))[0]
    assert torch.equal(run(fresh, example), run(found.module, example))


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_the_pruned_network_exports_and_is_quantized(name, tmp_path):
    model, split, _ = made(name)
    pruned = prune(model, PruneConfig(parameters=0.6, align=1, finetune_epochs=0), split, seed=0).model
    for folder in ("plain", "int8"):
        (tmp_path / folder).mkdir()
    plain = export(pruned, tmp_path / "plain")
    calibration = Calibration(split, QuantizeConfig(calibration_samples=16), 0, pruned)
    small = QUANTIZERS["onnx-qdq"].load()(plain, tmp_path / "int8", calibration)
    inputs = split.batch(np.arange(8))[0]
    with torch.no_grad():
        wanted = pruned.module(torch.from_numpy(inputs["x"])).numpy()
    for file, share in ((plain, 1e-4), (small, 0.3)):
        session = onnxruntime.InferenceSession(file.path, providers=["CPUExecutionProvider"])
        got = session.run(None, {session.get_inputs()[0].name: inputs["x"]})[0]
        assert np.sqrt(np.mean((got - wanted) ** 2)) < share * wanted.std()
