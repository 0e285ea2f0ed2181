"""MACs of every kind of layer, the products written out; and what PyTorch's own counter says where it counts."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.roofline.work import work_of
from compress.counting import count, count_all, macs
from tightship.pipeline.inspect_layers import layers_of_module


class Of(nn.Module):
    """A function as a network, with a weight of this shape."""

    def __init__(self, function, shape=()):
        super().__init__()
        self.function, self.weight = function, nn.Parameter(torch.randn(shape))

    def forward(self, x):
        return self.function(x, self.weight)


class Packed(nn.Module):
    """Sequences of different lengths: of five steps only three hold anything."""

    def __init__(self, kind):
        super().__init__()
        self.inner = kind(3, 4)

    def forward(self, x):
        packed = nn.utils.rnn.pack_padded_sequence(x, [3], batch_first=True)
        return self.inner(packed)[0].data


def attend(x, weight):
    q = x.view(1, 2, 5, 4)
    return functional.scaled_dot_product_attention(q, q, q)


def grouped(x, weight):
    """Four heads ask two."""
    q, k = torch.cat([x.view(1, 2, 5, 4)] * 2, 1), x.view(1, 2, 5, 4)
    return functional.scaled_dot_product_attention(q, k, k, enable_gqa=True)


def wide(x, weight):
    """Values of another size than keys."""
    q, v = x.view(1, 2, 5, 4), torch.cat([x.view(1, 2, 5, 4)] * 3, -1)
    return functional.scaled_dot_product_attention(q, q, v)


ENCODER = 3 * 8 * 8 * 5 + 2 * 5 * 5 * 8 + 8 * 8 * 5 + 2 * 8 * 16 * 5
"""Projections of 5 places of size 8, scores and sums (whatever the heads), projection, two linear layers by way of 16."""

COUNTED = {
    "linear": (nn.Linear(3, 4), (3,), 3 * 4),
    "linear over places": (nn.Linear(3, 4), (5, 3), 5 * 3 * 4),
    "conv1d": (nn.Conv1d(2, 6, 3), (2, 9), 6 * 7 * 2 * 3),
    "conv2d": (nn.Conv2d(2, 6, 3, stride=2, padding=1), (2, 8, 8), 6 * 4 * 4 * 2 * 9),
    "conv3d": (nn.Conv3d(2, 3, 2), (2, 3, 3, 3), 3 * 8 * 2 * 8),
    "grouped": (nn.Conv2d(4, 8, 3, groups=2), (4, 6, 6), 8 * 4 * 4 * 2 * 9),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4), (4, 6, 6), 4 * 4 * 4 * 9),
    "dilated": (nn.Conv2d(2, 3, 3, dilation=2), (2, 7, 7), 3 * 3 * 3 * 2 * 9),
    "transposed 1d": (nn.ConvTranspose1d(4, 6, 3, stride=2), (4, 5), 4 * 5 * 6 * 3),
    "transposed 2d": (nn.ConvTranspose2d(4, 6, 3, stride=2), (4, 5, 5), 4 * 25 * 6 * 9),
    "transposed 3d": (nn.ConvTranspose3d(2, 3, 2), (2, 3, 3, 3), 2 * 27 * 3 * 8),
    "transposed grouped": (nn.ConvTranspose2d(4, 6, 3, groups=2), (4, 5, 5), 4 * 25 * 3 * 9),
    "matmul": (Of(torch.matmul, (4, 3)), (5, 4), 5 * 4 * 3),
    "batches of matrices": (Of(torch.matmul, (6, 4, 3)), (6, 5, 4), 6 * 5 * 4 * 3),
    "matrix by vector": (Of(torch.matmul, (4,)), (5, 4), 5 * 4),
    "dot": (Of(lambda x, w: torch.dot(x[0], w)[None], (4,)), (4,), 4),
    "addmm": (Of(lambda x, w: torch.addmm(x, x, w), (4, 4)), (4,), 4 * 4),
    "addmv": (Of(lambda x, w: torch.addmv(x[0, :, 0], x[0], w), (4,)), (5, 4), 5 * 4),
    "baddbmm": (Of(lambda x, w: torch.baddbmm(x, x, w[None]), (4, 4)), (4, 4), 4 * 4 * 4),
    "addbmm": (Of(lambda x, w: torch.addbmm(x[0], x, w[None])[None], (4, 4)), (4, 4), 4 * 4 * 4),
    "einsum": (Of(lambda x, w: torch.einsum("nij,jk->nki", x, w), (4, 3)), (5, 4), 5 * 4 * 3),
    "einsum of inputs": (Of(lambda x, w: torch.einsum("nij,nkj->nik", x, x)), (5, 4), 5 * 4 * 5),
    "bilinear": (Of(lambda x, w: functional.bilinear(x, x, w), (6, 3, 3)), (3,), 6 * 3 * 3),
    "attention": (Of(attend), (40,), 2 * (2 * 5 * 5 * 4)),
    "attention of grouped queries": (Of(grouped), (40,), 2 * (4 * 5 * 5 * 4)),
    "attention with wider values": (Of(wide), (40,), 2 * 5 * 5 * (4 + 12)),
    "rnn": (nn.RNN(3, 4, batch_first=True), (5, 3), 5 * 4 * (3 + 4)),
    "rnn relu": (nn.RNN(3, 4, nonlinearity="relu", batch_first=True), (5, 3), 5 * 4 * (3 + 4)),
    "lstm": (nn.LSTM(3, 4, batch_first=True), (5, 3), 5 * 4 * 4 * (3 + 4)),
    "lstm of two layers": (nn.LSTM(3, 4, 2, batch_first=True), (5, 3), 5 * 4 * 4 * (3 + 4 + 4 + 4)),
    "lstm both ways": (nn.LSTM(3, 4, bidirectional=True, batch_first=True), (5, 3), 2 * 5 * 4 * 4 * (3 + 4)),
    "lstm projected": (nn.LSTM(3, 4, proj_size=2, batch_first=True), (5, 3), 5 * (4 * 4 * (3 + 2) + 4 * 2)),
    "lstm packed": (Packed(nn.LSTM), (5, 3), 3 * 4 * 4 * (3 + 4)),
    "gru": (nn.GRU(3, 4, batch_first=True), (5, 3), 5 * 3 * 4 * (3 + 4)),
    "gru both ways": (nn.GRU(3, 4, bidirectional=True, batch_first=True), (5, 3), 2 * 5 * 3 * 4 * (3 + 4)),
    "gru packed": (Packed(nn.GRU), (5, 3), 3 * 3 * 4 * (3 + 4)),
    "lstm cell": (nn.LSTMCell(3, 4), (3,), 4 * 4 * (3 + 4)),
    "gru cell": (nn.GRUCell(3, 4), (3,), 3 * 4 * (3 + 4)),
    "rnn cell": (nn.RNNCell(3, 4), (3,), 4 * (3 + 4)),
    "encoder layer": (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (5, 8), ENCODER),
    "norm": (nn.Sequential(nn.BatchNorm1d(3), nn.LayerNorm(5), nn.GroupNorm(1, 3), nn.InstanceNorm1d(3)), (3, 5), 0),
    "activations": (nn.Sequential(nn.ReLU(), nn.GELU(), nn.Softmax(1), nn.PReLU(), nn.GLU(), nn.Hardswish()), (3, 4), 0),
    "pooling": (nn.Sequential(nn.AvgPool2d(2), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten()), (2, 8, 8), 0),
    "resizing": (nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.PixelShuffle(2)), (4, 3, 3), 0),
    "resizing of series": (nn.Upsample(scale_factor=2, mode="linear"), (4, 3), 0),
    "a position": (Of(lambda x, w: x + w, (5, 4)), (5, 4), 0),
    "a scale": (Of(lambda x, w: x * w, (5, 4)), (5, 4), 0),
}  # fmt: skip


def example(shape):
    return {"x": np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)}


def figures(module, inputs):
    """MACs as a run, roofline and inspect have them; nothing is left uncounted."""
    found, uncounted = count_all(module, inputs)
    work = work_of(module, inputs)
    rows, _ = layers_of_module(module, inputs)
    assert uncounted == work.uncounted == ()
    assert not any(row["uncounted"] for row in rows)
    return found["macs"], work.macs, sum(row["macs"] for row in rows)


@pytest.mark.parametrize("kind", COUNTED)
def test_the_macs_of_a_layer_are_its_products(kind):
    module, shape, expected = COUNTED[kind]
    assert figures(module, example(shape)) == (expected, expected, expected)


ATTENDED = ("attention", "attention of grouped queries", "encoder layer")
RECURRENT = ("lstm", "lstm of two layers", "lstm both ways", "lstm packed")
OTHERS = ("matrix by vector", "dot", "addmv", "addbmm", "bilinear", "norm", "activations", "pooling", "resizing", "a position")


@pytest.mark.parametrize("kind", sorted({*COUNTED} - {*ATTENDED, *RECURRENT, *OTHERS}))
def test_pytorch_counts_the_same_where_it_counts(kind):
    module, shape, expected = COUNTED[kind]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module.eval()(torch.from_numpy(example(shape)["x"][:1]))
    assert counter.get_total_flops() == 2 * expected


def test_ids_that_are_looked_up_multiply_nothing():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.bag, self.head = nn.Embedding(10, 4), nn.EmbeddingBag(10, 4), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.words(x).mean(1) + self.bag(x))

    assert figures(Words(), {"x": np.zeros((2, 5), np.int64)}) == (12, 12, 12)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
def test_an_encoder_is_counted_by_its_parts_though_pytorch_would_fuse_it(padded, norm_first):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder = nn.TransformerEncoder(layer, 2).eval()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = encoder

        def forward(self, x):
            return self.encoder(x, src_key_padding_mask=torch.zeros(x.shape[:2], dtype=torch.bool) if padded else None)

    assert torch.backends.mha.get_fastpath_enabled()
    assert figures(Net(), example((5, 8))) == (2 * ENCODER,) * 3
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_script_runs_fused_and_is_counted_all_the_same():
    scripted = torch.jit.script(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval())
    assert figures(scripted, example((5, 8)))[:2] == (ENCODER, ENCODER)


@pytest.mark.parametrize("weights", [True, False])
def test_attention_of_one_sequence_to_another(weights):
    class Cross(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x, memory):
            return self.attention(x, memory, memory, need_weights=weights)[0]

    expected = 8 * 8 * (5 + 7 + 7) + 2 * 5 * 7 * 8 + 8 * 8 * 5
    inputs = {"x": np.ones((1, 5, 8), np.float32), "memory": np.ones((1, 7, 8), np.float32)}
    assert figures(Cross(), inputs) == (expected,) * 3


class Mha(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


class Vit(nn.Module):
    """Patches, a class token, positions, one encoder layer, a head."""

    def __init__(self):
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 8, 4, stride=4), nn.Parameter(torch.zeros(1, 1, 8))
        self.positions = nn.Parameter(torch.zeros(1, 5, 8))
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        seen = self.patches(x).flatten(2).transpose(1, 2)
        seen = torch.cat([self.token.expand(len(x), -1, -1), seen], 1) + self.positions
        return self.head(self.layer(seen)[:, 0])


class Last(nn.Module):
    def __init__(self, inner, width):
        super().__init__()
        self.inner, self.head = inner, nn.Linear(width, 3)

    def forward(self, x):
        return self.head(self.inner(x)[0][:, -1])


NETWORKS = {
    "cnn": (nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)), (3, 8, 8),
            8 * 36 * 27 + 2880),
    "generator": (nn.Sequential(nn.Linear(4, 32), nn.Unflatten(1, (8, 2, 2)), nn.ConvTranspose2d(8, 4, 4, 2, 1), nn.ReLU(),
                                nn.ConvTranspose2d(4, 1, 4, 2, 1)), (4,), 128 + 8 * 4 * 4 * 16 + 4 * 16 * 1 * 16),
    "lstm": (Last(nn.LSTM(3, 4, batch_first=True), 4), (5, 3), 560 + 12),
    "gru": (Last(nn.GRU(3, 4, batch_first=True), 4), (5, 3), 420 + 12),
    "bilstm": (Last(nn.LSTM(3, 4, bidirectional=True, batch_first=True), 8), (5, 3), 1120 + 24),
    "multihead": (Mha(), (5, 8), 4 * 8 * 8 * 5 + 2 * 5 * 5 * 8),
    "vit": (Vit(), (3, 8, 8), 8 * 4 * 48 + ENCODER + 80),
    "mobile": (nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 8, 1, groups=2)), (4, 6, 6), 16 * 4 * 9 + 16 * 8 * 2),
}  # fmt: skip


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_run_roofline_and_inspect_agree_and_parameters_are_all_there_once(kind):
    module, shape, expected = NETWORKS[kind]
    assert figures(module, example(shape)) == (expected,) * 3
    rows, _ = layers_of_module(module, example(shape))
    assert sum(row["parameters"] for row in rows) == count(module, example(shape))["parameters"]


def test_a_layer_that_is_called_twice_multiplies_twice_and_weighs_once():
    layer = nn.Linear(4, 4)
    network = nn.Sequential(layer, nn.ReLU(), layer)
    assert figures(network, example((4,))) == (32, 32, 32)
    rows, _ = layers_of_module(network, example((4,)))
    assert [(row["name"], row["parameters"], row["macs"]) for row in rows] == [("0", 20, 32), ("1", 0, 0)]
    assert work_of(network, example((4,))).weights == 20


def test_one_weight_of_two_layers_is_shown_where_it_is_used_first():
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    rows, _ = layers_of_module(nn.Sequential(first, second), example((4,)))
    assert [(row["parameters"], row["macs"]) for row in rows] == [(20, 16), (4, 16)]


def test_counting_is_one_call_of_one_example_and_leaves_the_network_as_it_is():
    class Seen(nn.Module):
        calls = 0

        def __init__(self):
            super().__init__()
            self.layer = nn.Sequential(nn.Linear(4, 4), nn.Dropout())

        def forward(self, x):
            Seen.calls += len(x)
            return self.layer(x)

    network = Seen().train()
    network.layer[0].eval()
    for counted in (macs, count, work_of, layers_of_module):
        Seen.calls = 0
        counted(network, example((4,)))
        assert Seen.calls == 1
    assert [m.training for m in network.modules()] == [True, True, False, True]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_an_exported_program_and_a_frozen_script_are_counted():
    lstm = NETWORKS["lstm"][0]
    exported = torch.export.export(lstm.eval(), (torch.ones(1, 5, 3),)).module()
    assert figures(exported, example((5, 3))) == (572, 572, 572)
    frozen = torch.jit.freeze(torch.jit.script(nn.Linear(3, 4).eval()))
    assert figures(frozen, example((3,))) == (12, 12, 12)


def test_sequences_without_a_common_length_count_by_their_own():
    class Nested(nn.Module):
        def __init__(self, layout):
            super().__init__()
            self.layout, self.layer = layout, nn.Linear(3, 4)

        def forward(self, x):
            return self.layer(torch.nested.nested_tensor([x[0, :3], x[0]], layout=self.layout)).to_padded_tensor(0.0)[:1]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for layout in (torch.strided, torch.jagged):
            assert figures(Nested(layout), example((5, 3))) == ((3 + 5) * 12,) * 3


def test_a_layer_that_fails_and_is_caught_leaves_the_others_their_counts():
    class Fails(nn.Module):
        def forward(self, x):
            raise ValueError

    class Catches(nn.Module):
        def __init__(self):
            super().__init__()
            self.bad, self.good = Fails(), nn.Linear(3, 4)

        def forward(self, x):
            try:
                return self.bad(x)
            except ValueError:
                return self.good(x)

    rows, _ = layers_of_module(Catches(), example((3,)))
    assert [(row["name"], row["macs"]) for row in rows] == [("bad", 0), ("good", 12)]
