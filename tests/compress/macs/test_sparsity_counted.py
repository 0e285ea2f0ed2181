"""Zeros are counted in every weight that multiplies, and in no other."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from compress.counting import count

STEPS = {"x": np.ones((1, 5, 8), np.float32)}


def sparsity(module, inputs=STEPS):
    return count(module, inputs)["sparsity"]


class Net(nn.Module):
    def __init__(self, **layers):
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)


def test_recurrent_weights_count():
    lstm = nn.LSTM(8, 4, batch_first=True)
    lstm.weight_hh_l0.data.zero_()
    lstm.bias_hh_l0.data.zero_()
    assert sparsity(lstm) == 64 / (64 + 128)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_weights_of_both_directions_count(kind):
    layer = kind(8, 4, bidirectional=True, batch_first=True)
    layer.weight_ih_l0_reverse.data.zero_()
    assert sparsity(layer) == 8 / (2 * (8 + 4))


def test_the_weights_of_attention_count():
    class Attends(Net):
        def forward(self, x):
            return self.attention(x, x, x)[0]

    network = Attends(attention=nn.MultiheadAttention(8, 2, batch_first=True))
    network.attention.in_proj_weight.data[:8].zero_()
    assert sparsity(network) == 64 / (192 + 64)
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoder.self_attn.in_proj_weight.data.zero_()
    assert sparsity(encoder) == 192 / (192 + 64 + 256)


def test_a_parameter_that_is_multiplied_counts_and_one_that_is_added_does_not():
    class Mixes(Net):
        def forward(self, x):
            return (x + self.position) @ self.mix.t().contiguous() * self.scale

    network = Mixes(
        position=nn.Parameter(torch.zeros(1, 5, 8)), mix=nn.Parameter(torch.ones(4, 8)), scale=nn.Parameter(torch.zeros(4))
    )
    assert sparsity(network) == 0
    network.mix.data[0].zero_()
    assert sparsity(network) == 0.25


def test_embeddings_and_norms_do_not_count_but_an_embedding_that_is_the_last_layer_too_does():
    class Words(Net):
        tied = False

        def forward(self, x):
            return nn.functional.linear(self.norm(self.words(x)), self.words.weight if self.tied else self.head.weight)

    network = Words(words=nn.Embedding(10, 4), norm=nn.LayerNorm(4), head=nn.Linear(4, 3))
    network.words.weight.data.zero_()
    network.norm.weight.data.zero_()
    ids = {"x": np.zeros((1, 5), np.int64)}
    assert sparsity(network, ids) == 0
    network.tied = True
    assert sparsity(network, ids) == 1


def test_a_weight_counts_as_it_is_multiplied_masked_or_normalized():
    class Half(nn.Module):
        def forward(self, weight):
            return weight * (torch.arange(4) < 2).unsqueeze(1)

    network = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 4))
    parametrize.register_parametrization(network[0], "weight", Half())
    assert sparsity(network) == 16 / (32 + 16)
    normal = nn.Sequential(parametrizations.weight_norm(nn.Conv1d(5, 4, 3)))
    normal[0].parametrizations.weight.original1.data[:, 0].zero_()
    assert sparsity(normal) == 0.2


def test_a_weight_that_is_shared_or_called_twice_counts_once():
    shared, other = nn.Linear(8, 8), nn.Linear(8, 8)
    shared.weight.data.zero_()
    assert sparsity(nn.Sequential(shared, shared, other)) == 0.5
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    second.weight = first.weight
    first.weight.data.zero_()
    assert sparsity(nn.Sequential(first, second, other)) == 0.5


def test_a_weight_that_is_cast_at_each_call_counts_once():
    class Casts(Net):
        def forward(self, x):
            for _ in range(3):
                x = (x.bfloat16() @ self.weight.bfloat16()).float()
            return self.head(x)

    network = Casts(weight=nn.Parameter(torch.zeros(8, 8)), head=nn.Linear(8, 8))
    assert sparsity(network) == 0.5


def test_numbers_that_are_no_parameters_and_layers_that_do_not_run_do_not_count():
    class Filters(Net):
        def forward(self, x):
            return self.head(x @ self.bank)

    network = Filters(head=nn.Linear(8, 8), unused=nn.Linear(8, 8))
    network.register_buffer("bank", torch.zeros(8, 8))
    network.unused.weight.data.zero_()
    assert sparsity(network) == 0


def test_a_place_that_held_a_weight_and_holds_activations_now_is_none():
    class Writes(Net):
        def forward(self, x):
            held = self.weight * 1
            held[:] = x[0, 0]
            return self.head(x) @ held

    network = Writes(weight=nn.Parameter(torch.zeros(8, 8)), head=nn.Linear(8, 8))
    assert sparsity(network) == 0
