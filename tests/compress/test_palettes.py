"""Weights really hold few values, the values are good ones, and training, masks and storage keep them so."""

from functools import partial

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

import compress.palettization.palettes
from artifacts.errors import ModelError
from artifacts.types import Palette
from compress import checkpoint
from compress.configs import PalettizeConfig
from compress.palettization.lowbit import LowBit, binary, ternary
from compress.palettization.palettes import Shared, assign, choose, distinct, kmeans, palettize
from compress.pruning.unstructured import mask_to
from compress.training.loop import Training, predict
from zoo.metrics import METRICS

QUICK = {"finetune_epochs": 1, "samples": 192}


def accuracy(model, digits):
    targets = digits.test.batch(np.arange(len(digits.test)))[1]
    return METRICS["top1"].score({"output": predict(model.module, digits.test)}, targets)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("group", [None, 3])
def test_each_palette_has_no_more_values_than_its_bits(digits, tiny, bits, group):
    made = palettize(tiny, PalettizeConfig(bits=bits, group_channels=group, **QUICK), digits.train, seed=0)
    assert set(made.model.palettes) == {f"{name}.weight" for name in made.details.values}
    assert not made.details.left_float
    assert made.details.share_of_weights == 1
    for name, found in made.details.values.items():
        weight = made.model.module.get_submodule(name).weight
        parts = weight.split(group or len(weight))
        assert found == max(len(part.unique()) for part in parts) <= 2**bits


@pytest.mark.parametrize("kind", ["ternary", "binary"])
def test_low_bit_weights_have_one_magnitude_a_channel(digits, tiny, kind):
    made = palettize(tiny, PalettizeConfig(kind=kind, **QUICK), digits.train, seed=0)
    assert made.details.left_float == {"conv1": "it is the first layer", "linear": "it is the last layer"}
    for name in made.details.values:
        for row in made.model.module.get_submodule(name).weight.detach():
            sizes = row.abs().unique()
            assert len(sizes[sizes > 0]) == 1
            assert kind == "ternary" or (row != 0).all()
    assert len(made.model.module.conv1.weight.unique()) > 3


def test_clusters_are_those_of_a_brute_force_search():
    generator = torch.Generator().manual_seed(1)
    row = torch.randn(40, generator=generator).sort().values
    best = min(
        sum(float((part.double() - part.double().mean()).square().sum()) for part in (row[:i], row[i:j], row[j:]))
        for i in range(1, 39)
        for j in range(i + 1, 40)
    )
    used = torch.ones(1, 40, dtype=torch.bool)
    codebook = kmeans(row[None], used, 3)
    error = float((row - codebook.gather(1, assign(row[None], codebook))[0]).double().square().sum())
    assert error == pytest.approx(best, rel=0.02)


def test_weights_with_few_values_keep_them():
    row = torch.tensor([[1.0, -2.0, 1.0, 0.5]])
    found = kmeans(row, torch.ones_like(row, dtype=torch.bool), 16)
    assert found.unique().tolist() == [-2.0, 0.5, 1.0]


def test_the_last_group_may_be_smaller():
    weight = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    shared = Shared(weight, 1, 2).eval()
    made = shared(weight)
    assert made.shape == weight.shape
    assert all(len(part.unique()) <= 2 for part in made.split(2))
    assert (made[4] - made[4].mean()).abs().sum() > 0, "zeros that fill up a group must not pull its values"
    assert {float(v) for v in made[4].unique()} <= {float(v) for v in kmeans(weight[4:], torch.ones(1, 3, dtype=bool), 2)[0]}


def test_the_scales_of_low_bit_weights_are_those_of_the_papers():
    weight = torch.tensor([[1.0, -3.0, 0.1, 2.0], [0.0, 0.0, 0.0, 0.0]])
    assert ternary(weight).tolist() == [[0.0, -2.5, 0.0, 2.5], [0.0, 0.0, 0.0, 0.0]]
    assert binary(weight)[0].tolist() == pytest.approx([1.525, -1.525, 1.525, 1.525])


@pytest.mark.parametrize("made", [LowBit("ternary"), LowBit("binary"), Shared(torch.randn(4, 6), 2, None)])
def test_the_gradient_passes_straight_through(made):
    weight = torch.randn(4, 6, requires_grad=True)
    factor = torch.randn(4, 6)
    (made(weight) * factor).sum().backward()
    assert torch.equal(weight.grad, factor)


@pytest.mark.parametrize("config", [PalettizeConfig(bits=2), PalettizeConfig(kind="ternary"), PalettizeConfig(kind="binary")])
def test_training_wins_accuracy_back(digits, tiny, config):
    before = palettize(tiny, config.model_copy(update={"finetune_epochs": 0}), digits.train, seed=0).model
    after = palettize(tiny, config, digits.train, seed=0).model
    assert accuracy(after, digits) > accuracy(before, digits)
    assert accuracy(after, digits) > 0.85


@pytest.mark.parametrize("config", [PalettizeConfig(bits=2, **QUICK), PalettizeConfig(kind="ternary", **QUICK)])
def test_pruned_weights_stay_zero(digits, tiny, config):
    pruned = mask_to(tiny, 0.6, "magnitude", 0)
    made = palettize(pruned, config, digits.train, seed=0)
    for name, mask in pruned.masks.items():
        assert not made.model.module.get_parameter(name)[~mask].any()
    assert all(values <= 4 for values in made.details.values.values())


def test_a_stored_palette_is_loaded_again(digits, tiny, tmp_path, examples):
    config = PalettizeConfig(bits=3, group_channels=4, keep_float=("conv1",), **QUICK)
    made = palettize(tiny, config, digits.train, seed=0).model
    checkpoint.save(made, tmp_path)
    again = checkpoint.load(tmp_path)
    assert again.palettes == made.palettes
    assert again.palettes["linear.weight"] == Palette("kmeans", 3, 4)
    assert "conv1.weight" not in again.palettes
    with torch.no_grad():
        assert torch.equal(again.module(examples), made.module(examples))


class Killed(Exception):
    """Stands for kill -9."""


@pytest.mark.parametrize("config", [PalettizeConfig(bits=3, **QUICK), PalettizeConfig(kind="binary", **QUICK)])
def test_a_killed_run_ends_with_the_same_weights(digits, tiny, tmp_path, monkeypatch, config):
    monkeypatch.setattr(compress.palettization.palettes, "Training", partial(Training, every_seconds=0))
    undisturbed = palettize(tiny, config, digits.train, seed=0)

    def progress(done, message):
        if done >= 0.5:
            raise Killed(message)

    with pytest.raises(Killed):
        palettize(tiny, config, digits.train, seed=0, work=tmp_path, progress=progress)
    made = palettize(tiny, config, digits.train, seed=0, work=tmp_path)
    wanted = undisturbed.model.module.state_dict()
    assert all(torch.equal(v, wanted[k]) for k, v in made.model.module.state_dict().items())
    assert made.details == undisturbed.details


class Tied(nn.Module):
    """Two layers of one weight, one in half precision, one free."""

    def __init__(self):
        super().__init__()
        self.left, self.right, self.free = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.wide = nn.Linear(4, 4).double()
        self.right.weight = self.left.weight

    def forward(self, x):
        return self.wide(self.free(self.right(self.left(x))).double()).float()


def test_what_cannot_share_values_is_left_float_with_the_reason(wrap):
    model, example = wrap(Tied(), (8,)), {"x": np.zeros((2, 8), np.float32)}
    chosen, left = choose(model, PalettizeConfig(), example)
    assert chosen == ["free"]
    assert left["left"] == left["right"] == "it shares its weight with another layer"
    assert left["wide"] == "its weight is float64, not float32"
    _, left = choose(model, PalettizeConfig(kind="binary", keep_float=("right",)), example)
    assert left["right"] == "the recipe keeps it float"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"keep_float": ("lineer",)}, "did you mean 'linear'"),
        ({"kind": "binary"}, "pruned to zero; use 'ternary'"),
        ({"keep_float": "all"}, "no layer of the model is left to do"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(digits, tiny, options, named):
    if options.get("keep_float") == "all":
        layers = [n for n, m in tiny.module.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        options = {"keep_float": tuple(layers)}
    with pytest.raises(ModelError, match=named) as caught:
        palettize(mask_to(tiny, 0.5, "magnitude", 0), PalettizeConfig(**options), digits.train, seed=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{"bits": 0}, {"bits": 9}, {"kind": "ternary", "bits": 2}, {"kind": "quinary"}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ValidationError):
        PalettizeConfig(**options)


def test_distinct_counts_within_each_palette():
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 5.0]])
    assert distinct(weight, Palette("kmeans", 4)) == 5
    assert distinct(weight, Palette("kmeans", 4, 2)) == 4
    assert distinct(weight, Palette("ternary", 2)) == 2
