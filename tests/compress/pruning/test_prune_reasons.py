"""What stays whole is named with the true reason and what would help; what torch-pruning alone cannot follow is followed."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from artifacts.errors import ModelError
from artifacts.types import Cut
from compress.configs import PruneConfig
from compress.edits.cuts import graph
from compress.pruning.latency.output_divergence import OutputDivergence
from compress.pruning.latency.selection import State
from compress.pruning.steps import prune
from compress.pruning.structured import cuttable, rank, with_cuts
from compress.pruning.units import SINGLE, Units
from zoo.splits import ArraySplit


class Net(nn.Module):
    """Layers by name and what is done with them."""

    def __init__(self, run, **layers):
        super().__init__()
        torch.manual_seed(0)
        self.run = run
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x):
        return self.run(self, x)


def example(*shape):
    return {"x": np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)}


def unflattened(net, x):
    return net.last(F.relu(net.up(F.relu(net.lift(x)).view(-1, 8, 4, 4))))


def attended(net, x):
    y = net.embed(x)
    return net.head(y + net.attention(y, y, y)[0])


def packed(net, x):
    lengths = torch.full((len(x),), x.shape[1])
    return net.head(net.cell(nn.utils.rnn.pack_padded_sequence(net.into(x), lengths, batch_first=True))[1][-1])


def stepped(net, x):
    state = torch.zeros(len(x), 8)
    for step in range(x.shape[1]):
        state = net.cell(x[:, step], state)
    return net.head(F.relu(net.out(state)))


def in_time(net, x):
    left, right = net.a(x).chunk(2, -1)
    return net.head(F.relu(net.b(F.relu(left) * right)).mean(2))


def joined(net, x):
    return net.head(F.relu(net.norm(torch.cat([net.a(x), net.b(x)], 1))))


def normed():
    return nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 8, 3))


REASONS = {
    "view": (
        Net(unflattened, lift=nn.Linear(12, 128), up=nn.ConvTranspose2d(8, 8, 2, 2), last=nn.Conv2d(8, 2, 1)),
        (12,),
        "lift",
        "reshapes its channels to fixed numbers",
    ),
    "attention": (
        Net(attended, embed=nn.Linear(6, 8), attention=nn.MultiheadAttention(8, 2, batch_first=True), head=nn.Linear(8, 3)),
        (5, 6),
        "embed",
        "nn.MultiheadAttention ties its width to its heads",
    ),
    "weight norm": (
        Net(lambda net, x: net.b(F.relu(net.a(x))), a=normed(), b=nn.Conv1d(8, 3, 3)),
        (2, 16),
        "a",
        "weight of 'a' is computed from other tensors",
    ),
    "group norm over two layers": (
        Net(joined, a=nn.Conv2d(3, 8, 1), b=nn.Conv2d(3, 8, 1), norm=nn.GroupNorm(4, 16), head=nn.Conv2d(16, 3, 1)),
        (3, 4, 4),
        "a",
        "together with those of other layers, so its groups would shift; it is tied to the group norm 'norm'",
    ),
    "unflatten": (nn.Sequential(nn.Linear(12, 32), nn.Unflatten(1, (8, 4)), nn.Conv1d(8, 2, 1)), (12,), "0", "Unflatten"),
}


@pytest.mark.parametrize("name", REASONS)
def test_the_reason_is_the_true_one(wrap, name):
    module, shape, layer, reason = REASONS[name]
    _, refused = cuttable(wrap(module, shape), example(*shape))
    assert reason in refused[layer]
    assert "it makes the model's output" in refused.values()


def test_a_goal_that_cannot_be_reached_names_what_stays_whole(wrap):
    model = wrap(REASONS["view"][0], (12,))
    split = ArraySplit({"x": np.zeros((8, 12), np.float32)}, np.zeros((8, 2, 8, 8), np.float32))
    with pytest.raises(ModelError, match=r"These stay whole: 'lift': .*\[-1, 8, 4, 4\].*-1 in view") as caught:
        prune(model, PruneConfig(parameters=0.1, finetune_epochs=0), split, seed=0)
    assert "\n" not in str(caught.value)


FOLLOWED = {
    "packed": (
        Net(packed, into=nn.Linear(6, 8), cell=nn.GRU(8, 8, batch_first=True), head=nn.Linear(8, 3)),
        (5, 6),
        {"into", "cell"},
    ),
    "cell": (Net(stepped, cell=nn.GRUCell(6, 8), out=nn.Linear(8, 8), head=nn.Linear(8, 3)), (5, 6), {"out"}),
    "halves of time": (Net(in_time, a=nn.Conv1d(2, 8, 1), b=nn.Conv1d(8, 8, 1), head=nn.Linear(8, 3)), (2, 8), {"a", "b"}),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_channels_are_followed_through(wrap, name):
    module, shape, layers = FOLLOWED[name]
    good, _ = cuttable(wrap(module, shape), example(*shape))
    assert good == dict.fromkeys(layers, SINGLE)


def test_tracing_leaves_recurrent_layers_as_they_are():
    layer = nn.LSTM(6, 4)
    graph(nn.Sequential(layer), example(6))
    assert "forward" not in vars(layer)
    assert layer(torch.zeros(2, 6))[0].requires_grad


def test_units_stay_whole_where_scores_are_equal(wrap):
    module = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1, groups=4), nn.Flatten(), nn.Linear(512, 3))
    nn.init.ones_(module[0].weight)
    model, inputs = wrap(module), example(3, 8, 8)
    split = ArraySplit(inputs, np.zeros(2, np.int64))
    layers, _ = cuttable(model, inputs)
    assert layers == {"0": Units(4), "2": Units(4)}
    for group in rank(model, layers, PruneConfig(macs=0.5), split, np.arange(2), 0):
        assert group.step(6) == 12
        made = with_cuts(model, [Cut(group.layer, True, group.worst(4))], inputs)
        assert made.module(torch.from_numpy(inputs["x"])).shape == (2, 3)


def test_a_search_for_latency_silences_grouped_and_recurrent_layers_rightly(wrap):
    layers = {"into": nn.Linear(6, 8), "cell": nn.LSTM(8, 8, 2, batch_first=True, bidirectional=True), "head": nn.Linear(16, 3)}
    model, inputs = wrap(Net(lambda net, x: net.head(net.cell(net.into(x))[0][:, 0]), **layers), (5, 6)), example(5, 6)
    split = ArraySplit(inputs, np.zeros(2, np.int64))
    groups = rank(model, cuttable(model, inputs)[0], PruneConfig(macs=0.5), split, np.arange(2), 0)
    divergence = OutputDivergence(model, split, groups, 0)
    before = {name: value.clone() for name, value in divergence.module.state_dict().items()}
    state = State(frozenset(), frozenset({("into", 4), ("cell", 8)}))
    assert divergence(state) > 0
    assert divergence.apply(state, inputs).module.cell.hidden_size == 4  # held against the silenced network inside
    assert all(torch.equal(value, before[name]) for name, value in divergence.module.state_dict().items())
