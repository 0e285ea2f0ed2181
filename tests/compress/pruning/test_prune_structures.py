"""Networks of every awkward build: a group is cut rightly, or left whole and named; never a wrong output."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from artifacts.types import Cut
from compress.edits.cuts import graph, silenced, width
from compress.edits.replay import replay
from compress.pruning.structured import cuttable, with_cuts
from compress.pruning.units import SINGLE, Units

EXAMPLE = {"x": np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)}


class Net(nn.Module):
    """conv a - norm - something - conv b - conv c - head, then a layer that is registered last but not used last."""

    def __init__(self, between, inputs=8, groups=1, after=None, extra=None):
        super().__init__()
        self.first = nn.Linear(8, 8) if extra else nn.Identity()
        self.a, self.n = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.b, self.c = nn.Conv2d(inputs, 8, 3, padding=1, groups=groups), nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(512 if after == "flatten" else 8, 5)
        self.between, self.after, self.extra = between, after, extra() if extra else None

    def forward(self, x):
        y = self.between(F.relu(self.n(self.a(self.first(x)))))
        y = F.relu(self.c(F.relu(self.b(y))))
        y = {"flatten": lambda: y.flatten(1), "view": lambda: y.view(len(y), 8, -1).mean(2)}.get(
            self.after, lambda: y.mean((2, 3))
        )()
        return self.head(y) if self.extra is None else self.extra(self.head(y))


class Twice(nn.Module):
    """The same maps again behind themselves."""

    def forward(self, y):
        return torch.cat([y, y], 1)


def shuffle(y):
    n, c, h, w = y.shape
    return y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def gate(y):
    left, right = y.chunk(2, 1)
    return left * torch.sigmoid(right)


NETS = {
    "plain": (partial(Net, nn.Identity()), {"a", "b", "c"}),
    "concat": (partial(Net, lambda y: torch.cat([y, y * 2], 1), 16), {"a", "b", "c"}),
    "flatten": (partial(Net, nn.Identity(), after="flatten"), {"a", "b", "c"}),
    "view": (partial(Net, nn.Identity(), after="view"), {"a", "b"}),
    "chunk": (partial(Net, gate, 4), {"a": Units(2), "b": SINGLE, "c": SINGLE}),
    "slice-front": (partial(Net, lambda y: y[:, :4], 4), {"b", "c"}),
    "slice-back": (partial(Net, lambda y: y[:, 4:], 4), {"b", "c"}),
    "shuffle": (partial(Net, shuffle), {"b", "c"}),
    "roll": (partial(Net, lambda y: y.roll(1, 1)), {"b", "c"}),
    "mean-over-channels": (partial(Net, lambda y: y * y.mean(1, keepdim=True)), {"b", "c"}),
    "depthwise": (partial(Net, nn.Identity(), 8, 8), {"b", "c"}),
    "grouped": (partial(Net, nn.Identity(), 8, 2), {"a": Units(2), "b": Units(2), "c": SINGLE}),
    "grouped-after-concat": (
        partial(Net, lambda y: torch.cat([y, y * 2], 1), 16, 4),
        {"a": Units(2), "b": Units(4), "c": SINGLE},
    ),
    "layer-norm": (partial(Net, nn.Identity(), extra=lambda: nn.LayerNorm(5)), {"a", "b", "c"}),
    "layer-norm-and-roll": (partial(Net, lambda y: y.roll(1, 1), extra=lambda: nn.LayerNorm(5)), {"b", "c"}),
    "two-outputs": (partial(Net, lambda y: y.roll(1, 1), extra=lambda: lambda y: (y, y * 2)), {"b", "c"}),
    "dict-outputs": (partial(Net, nn.Identity(), extra=lambda: lambda y: {"z": y, "a": y[:, :2]}), {"a", "b", "c"}),
}


class Attention(nn.Module):
    """One pre-norm block with a fused projection to query, key and value."""

    def __init__(self, split, norm=nn.LayerNorm):
        super().__init__()
        self.embed, self.norm, self.qkv = nn.Linear(24, 16), norm(16), nn.Linear(16, 48)
        self.proj, self.up, self.down, self.head = nn.Linear(16, 16), nn.Linear(16, 32), nn.Linear(32, 16), nn.Linear(16, 5)
        self.split = split

    def forward(self, x):
        y = self.embed(x.reshape(len(x), 8, 24))
        q, k, v = self.split(self.qkv(self.norm(y)))
        y = y + self.proj(F.scaled_dot_product_attention(q, k, v))
        y = y + self.down(F.gelu(self.up(y)))
        return self.head(y.mean(1))


SPLITS = {
    "chunk": lambda t: t.chunk(3, -1),
    "split": lambda t: t.split(16, -1),
    "view": lambda t: t.view(len(t), 8, 3, 16).unbind(2),
    "slices": lambda t: (t[..., : t.shape[-1] // 3], t[..., t.shape[-1] // 3 : -(t.shape[-1] // 3)], t[..., -16:]),
}


def randomised(module):
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, 0.1, 0.3)
    return module


def outputs(module):
    with torch.no_grad():
        made = module(torch.from_numpy(EXAMPLE["x"]))
    return list(made.values()) if isinstance(made, dict) else list(made) if isinstance(made, tuple) else [made]


def check_cut(model, layer, channels) -> None:
    """Cut on one side, silence on the other, compare every output."""
    dependencies = graph(copy.deepcopy(model.module), EXAMPLE)
    root = dependencies.model.get_submodule(layer)
    remove = dependencies.get_pruner_of_module(root).prune_out_channels
    silent = silenced(dependencies.model, dependencies.get_pruning_group(root, remove, list(channels)))
    made = with_cuts(model, [Cut(layer, True, channels)], EXAMPLE).module
    assert width(made.get_submodule(layer)) == width(model.module.get_submodule(layer)) - len(channels)
    for found, wanted in zip(outputs(made), outputs(silent), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.std()))


@pytest.mark.parametrize("name", NETS)
def test_a_convolutional_network_is_cut_rightly_or_named(wrap, name):
    make, expected = NETS[name]
    model = wrap(randomised(make()))
    good, refused = cuttable(model, EXAMPLE)
    ties = expected if isinstance(expected, dict) else dict.fromkeys(expected, SINGLE)
    assert {layer: units for layer, units in good.items() if layer != "first"} == ties
    assert "head" in refused
    assert not set(good) & set(refused)
    assert all(reason and "\n" not in reason for reason in refused.values())
    for layer, units in sorted(ties.items()):
        for channels in ((2,), (0, 3, 4), (1, 5, 6, 7)) if units == SINGLE else ((1,), (0,)):
            check_cut(model, layer, units.channels(list(channels), 8))


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.Identity])
def test_a_fused_projection_is_left_whole_and_named(wrap, name, norm):
    model = wrap(randomised(Attention(SPLITS[name], norm)))
    good, refused = cuttable(model, EXAMPLE)
    assert "qkv" in refused
    assert "up" in good
    assert "qkv" not in good
    check_cut(model, "up", (0, 7, 31))


def test_a_group_norm_is_cut_where_its_groups_stay_whole(wrap):
    net = partial(Net, nn.GroupNorm(1, 8))
    good, _ = cuttable(wrap(randomised(net())), EXAMPLE)
    assert "a" in good
    good, _ = cuttable(wrap(randomised(partial(Net, nn.GroupNorm(4, 8))())), EXAMPLE)
    assert good["a"] == Units(parts=4)
    good, _ = cuttable(wrap(randomised(Net(nn.GroupNorm(4, 8), 8, 2))), EXAMPLE)
    assert (good["a"], good["b"]) == (Units(parts=4), Units(parts=2))
    # two of the norm's groups hold the maps, two hold them again
    net = partial(Net, nn.Sequential(Twice(), nn.GroupNorm(4, 16)), 16)
    good, _ = cuttable(wrap(randomised(net())), EXAMPLE)
    assert good["a"] == Units(parts=2)


def test_dead_channels_do_not_hide_that_channels_are_moved(wrap):
    module = randomised(Net(lambda y: y.roll(1, 1)))
    with torch.no_grad():
        module.n.weight[:2] = 0
        module.n.bias[:2] = 0
    assert "a" in cuttable(wrap(module), EXAMPLE)[1]


def test_cuts_in_several_steps_replay_on_a_fresh_network(wrap):
    for name in ("concat", "flatten", "chunk", "depthwise"):
        make, expected = NETS[name]
        model = made = wrap(randomised(make()))
        for step in range(2):
            cuts = [
                Cut(layer, True, (1, 5 - step) if (name, layer) == ("chunk", "a") else (step, 3)) for layer in sorted(expected)
            ]
            made = with_cuts(made, cuts, EXAMPLE)
        fresh = copy.deepcopy(model.module)
        replay(fresh, made.edits, {"x": np.zeros((1, 3, 8, 8), np.float32)})
        assert outputs(fresh)[0].shape == (2, 5)
        assert torch.equal(outputs(fresh)[0], outputs(made.module)[0]), name
