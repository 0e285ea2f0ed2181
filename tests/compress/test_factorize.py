"""Pairs of lower rank: exact at full rank, the nearest at a lower one, only where they save, and stored as edits."""

from functools import partial

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

import compress.factorization.factorize
from artifacts.errors import IntegrityError, ModelError
from artifacts.types import Factor
from compress import checkpoint
from compress.configs import FactorizeConfig, PruneConfig
from compress.counting import macs
from compress.edits.pairs import matrix, pair_of, split
from compress.factorization.factorize import factorize
from compress.factorization.ranks import survey
from compress.pruning.steps import prune
from compress.training.loop import Training

QUICK = {"finetune_epochs": 1, "samples": 128, "align": 2}
LAYERS = [
    (nn.Linear(12, 9), "linear", (5, 12)),
    (nn.Linear(12, 9, bias=False), "linear", (2, 4, 12)),
    (nn.Conv2d(6, 10, 3, stride=2, padding=1), "channel", (2, 6, 9, 7)),
    (nn.Conv2d(6, 10, 3, stride=2, padding=1), "spatial", (2, 6, 9, 7)),
    (nn.Conv2d(6, 10, (5, 3), stride=(2, 1), padding=(2, 0), dilation=(1, 2), bias=False), "spatial", (2, 6, 12, 9)),
    (nn.Conv2d(6, 10, (5, 3), stride=(2, 1), padding=(2, 0), dilation=(1, 2)), "channel", (2, 6, 12, 9)),
    (nn.Conv2d(4, 8, 3, padding="same", padding_mode="reflect"), "spatial", (2, 4, 8, 8)),
    (nn.Conv2d(4, 8, 3, padding=1, padding_mode="circular"), "channel", (2, 4, 8, 8)),
    (nn.Conv2d(4, 8, 1), "channel", (2, 4, 5, 5)),
]


@pytest.mark.parametrize(("layer", "kind", "shape"), LAYERS)
@pytest.mark.parametrize("rank", [1, 3, None], ids=["1", "3", "full"])
def test_a_pair_computes_what_the_layer_does_at_that_rank(layer, kind, shape, rank):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    full = min(matrix(layer, kind).shape)
    pair, cut = pair_of(layer, rank or full, kind)
    assert torch.linalg.matrix_rank(matrix(layer, kind)) == full
    reference = layer.weight.detach().clone()
    with torch.no_grad():
        given = layer(x) if rank is None else None
        layer.weight.copy_(cut)
        wanted = layer(x) if given is None else given
        assert rank is None or torch.linalg.matrix_rank(matrix(layer, kind), rtol=1e-5) == rank
        torch.testing.assert_close(pair(x), wanted, rtol=1e-4, atol=1e-5)
        layer.weight.copy_(reference)


@pytest.mark.parametrize(("layer", "kind", "shape"), LAYERS[:5])
def test_the_pair_is_the_nearest_of_its_rank(layer, kind, shape):
    values = torch.linalg.svdvals(matrix(layer, kind))
    _, cut = pair_of(layer, 3, kind)
    lost = (cut - layer.weight.detach().double()).square().sum()
    assert float(lost) == pytest.approx(float(values[3:].square().sum()), rel=1e-9)


@pytest.mark.parametrize("conv", ["channel", "spatial"])
def test_the_macs_foretold_are_those_measured(digits, tiny, conv):
    example = digits.train.batch(np.arange(2))[0]
    config = FactorizeConfig(energy=0.7, conv=conv, **QUICK)
    made = factorize(tiny, config, digits.train, seed=0)
    layers = made.details.layers
    saved = sum(one.macs_before - one.macs_after for one in layers.values())
    assert made.details.macs_before - saved == made.details.macs_after == macs(made.model.module, example)
    assert saved > 0
    assert all(one.macs_after < one.macs_before for one in layers.values())
    assert {one.kind for name, one in layers.items() if "shortcut" not in name} <= {conv, "linear"}


def test_energy_gives_the_least_aligned_rank_that_holds_it(digits, tiny):
    example = digits.train.batch(np.arange(2))[0]
    found, _ = survey(tiny.module, FactorizeConfig(energy=0.8), example)
    for layer in found.values():
        rank = layer.rank(FactorizeConfig(energy=0.8, align=1), None)
        assert layer.energy[rank - 1] >= 0.8 - 1e-6
        assert rank == 1 or layer.energy[rank - 2] < 0.8
        aligned = layer.rank(FactorizeConfig(energy=0.8, align=4), None)
        assert aligned >= rank
        assert aligned % 4 == 0 or aligned == len(layer.energy)
        assert layer.rank(FactorizeConfig(energy=1.0, align=1), None) == len(layer.energy)
        half = layer.rank(FactorizeConfig(rank_share=0.5, align=1), None)
        assert half == -(-len(layer.energy) // 2)


def test_every_layer_is_split_or_named_with_the_reason(digits, tiny):
    config = FactorizeConfig(energy=0.9, keep_whole=("conv1",), **{**QUICK, "align": 4})
    details = factorize(tiny, config, digits.train, seed=0).details
    whole = {n for n, m in tiny.module.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert set(details.layers) | set(details.not_split) == whole
    assert details.not_split["conv1"] == "the recipe keeps it whole"
    assert any("costs no fewer MACs" in reason for reason in details.not_split.values())


class Awkward(nn.Module):
    """Layers that must be left whole, and one that can be split."""

    def __init__(self):
        super().__init__()
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.named = nn.Conv2d(8, 32, 3, padding=1)
        self.idle = nn.Linear(3, 3)
        self.left, self.right = nn.Linear(32, 32), nn.Linear(32, 32)
        self.right.weight = self.left.weight
        self.attention = nn.MultiheadAttention(32, 2, batch_first=True)
        self.good = nn.Linear(32, 32)

    def forward(self, x):
        x = self.named(self.grouped(x)) / self.named.out_channels
        x = self.right(self.left(x.flatten(2).transpose(1, 2)))
        return self.good(self.attention(x, x, x)[0].mean(1))


def test_what_cannot_be_split_is_left_whole_with_the_reason(digits, wrap):
    from compress.factorization.factorize import _split_layers

    model = wrap(Awkward(), (8, 6, 6))
    example = {"x": np.random.default_rng(0).normal(size=(2, 8, 6, 6)).astype(np.float32)}
    made, details = _split_layers(model, FactorizeConfig(rank_share=0.25), example, None)
    assert list(details.layers) == ["good"]
    reasons = details.not_split
    assert "2 groups" in reasons["grouped"]
    assert "the model does not run with it split: AttributeError" in reasons["named"]
    assert reasons["idle"] == "it is not called when the model runs"
    assert reasons["left"] == reasons["right"] == "it shares its weight with another layer"
    assert "NonDynamicallyQuantizableLinear" in reasons["attention.out_proj"]
    assert made.edits == (Factor("good", 8, "linear"),)


@pytest.mark.parametrize("goal", [0.9, 0.7, 0.5])
@pytest.mark.parametrize("conv", ["channel", "spatial"])
def test_the_measured_macs_are_at_most_the_goal(digits, tiny, goal, conv):
    example = digits.train.batch(np.arange(2))[0]
    config = FactorizeConfig(macs=goal, conv=conv, align=1, finetune_epochs=0)
    made = factorize(tiny, config, digits.train, seed=0)
    share = macs(made.model.module, example) / macs(tiny.module, example)
    assert goal - 0.15 < share <= goal
    assert 0 < made.details.energy < 1


def test_a_stored_pair_is_loaded_again(digits, tiny, tmp_path, examples):
    made = factorize(tiny, FactorizeConfig(energy=0.7, **QUICK), digits.train, seed=0).model
    checkpoint.save(made, tmp_path)
    again = checkpoint.load(tmp_path)
    assert again.edits == made.edits
    with torch.no_grad():
        assert torch.equal(again.module(examples), made.module(examples))


@pytest.mark.parametrize("edit", [Factor("nowhere", 2, "linear"), Factor("bn1", 2, "channel"), Factor("conv1", 2, "linear")])
def test_an_edit_that_does_not_fit_is_refused(tiny_a, edit):
    with pytest.raises(IntegrityError, match=edit.layer):
        split(tiny_a.module, edit)


@pytest.mark.slow
def test_channels_can_be_cut_before_and_after(digits, tiny, tmp_path):
    cut = PruneConfig(macs=0.8, align=2, finetune_epochs=0)
    low = FactorizeConfig(energy=0.6, **QUICK)
    first = factorize(prune(tiny, cut, digits.train, seed=0).model, low, digits.train, seed=0).model
    second = prune(first, cut, digits.train, seed=0).model
    checkpoint.save(second, tmp_path)
    wanted = second.module.state_dict()
    assert all(torch.equal(v, wanted[k]) for k, v in checkpoint.load(tmp_path).module.state_dict().items())


class Killed(Exception):
    """Stands for kill -9."""


@pytest.mark.parametrize("share", [0.05, 0.6])
def test_a_killed_run_ends_with_the_same_weights(digits, tiny, tmp_path, monkeypatch, share):
    monkeypatch.setattr(compress.factorization.factorize, "Training", partial(Training, every_seconds=0))
    config = FactorizeConfig(energy=0.7, **QUICK)
    undisturbed = factorize(tiny, config, digits.train, seed=0)

    def progress(done, message):
        if done >= share:
            raise Killed(message)

    with pytest.raises(Killed):
        factorize(tiny, config, digits.train, seed=0, work=tmp_path, progress=progress)
    made = factorize(tiny, config, digits.train, seed=0, work=tmp_path)
    wanted = undisturbed.model.module.state_dict()
    assert all(torch.equal(v, wanted[k]) for k, v in made.model.module.state_dict().items())
    assert made.details == undisturbed.details


def test_a_layer_stays_split_only_where_the_model_was_measured_faster(digits, tiny, tmp_path):
    config = FactorizeConfig(energy=0.6, latency_target="a target", **QUICK)
    calls = []

    def measured(model):
        """Pairs in the third stage save time, all others cost some."""
        calls.append(model)
        return 10 + sum(-1 if edit.layer.startswith("layer3") else 0.5 for edit in model.edits)

    made = factorize(tiny, config, digits.train, seed=0, work=tmp_path, measured=measured)
    assert made.details.layers
    assert all(name.startswith("layer3") for name in made.details.layers)
    slower = [reason for name, reason in made.details.not_split.items() if "measured no faster" in reason]
    assert slower
    assert len(slower) + len(made.details.layers) == len(made.details.measured)
    count = len(calls)
    again = factorize(tiny, config, digits.train, seed=0, work=tmp_path, measured=measured)
    assert len(calls) == count, "what was measured is kept"
    assert again.details == made.details


def test_a_gain_that_is_not_found_again_was_luck(digits, tiny):
    times = iter([10.0, 9.0, 10.0, 10.0] + [10.0, 10.0] * 100)
    with pytest.raises(ModelError, match="no layer gains"):
        factorize(
            tiny, FactorizeConfig(energy=0.6, latency_target="x", **QUICK), digits.train, seed=0, measured=lambda _: next(times)
        )


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"energy": 0.6, "keep_whole": ("layer1.0.conv3",)}, "did you mean 'layer1.0.conv"),
        ({"energy": 1.0}, "no layer gains by being split"),
        ({"macs": 0.01}, "0.01 cannot be reached"),
        ({"energy": 0.6, "latency_target": "onnxruntime-cpu"}, "none was handed down"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(digits, tiny, options, named):
    with pytest.raises(ModelError, match=named) as caught:
        factorize(tiny, FactorizeConfig(**options), digits.train, seed=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options", [{}, {"energy": 0.5, "macs": 0.5}, {"energy": 0}, {"rank_share": 1.5}, {"macs": 0.5, "latency_target": "x"}]
)
def test_a_goal_that_makes_no_sense_is_refused(options):
    with pytest.raises(ValidationError):
        FactorizeConfig(**options)
