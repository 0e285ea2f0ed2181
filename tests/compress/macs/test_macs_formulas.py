"""Operators that PyTorch takes apart before they are seen, fused ones, and those of devices: by the same sums."""

import pytest
import torch
from torch import nn

from compress.macs.formulas import FORMULAS

X, STATE = torch.zeros(5, 2, 3), torch.zeros(1, 2, 4)
CONV, IMAGE = torch.zeros(6, 2, 3, 3), torch.zeros(1, 4, 6, 6)
SDPA = torch.zeros(1, 2, 5, 4)


def weights(layer):
    return [p.detach() for p in layer.parameters()]


def of(name, *arguments, made=None):
    return FORMULAS[f"aten.{name}"](*arguments, made=made).macs


@pytest.mark.parametrize(("kind", "name", "gates"), [(nn.LSTM, "lstm", 4), (nn.GRU, "gru", 3), (nn.RNN, "rnn_tanh", 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_recurrent_networks_in_one_operator(kind, name, gates, bias):
    held = weights(kind(3, 4, bias=bias))
    state = [STATE, STATE] if kind is nn.LSTM else STATE
    each = gates * 4 * (3 + 4)
    assert of(name, X, state, held, bias, 1, 0.0, False, False, False) == 10 * each
    assert of(name, X[:, 0], torch.tensor([2, 2, 1]), state, held, bias, 1, 0.0, False, False) == 5 * each
    assert of("_cudnn_rnn", X, held, 4, None, STATE, STATE, 2, 4, 0, 1, False, 0.0, False, False, [], None) == 10 * each


@pytest.mark.parametrize(("kind", "name", "gates"), [(nn.LSTMCell, "lstm_cell", 4), (nn.GRUCell, "gru_cell", 3)])
def test_cells_in_one_operator(kind, name, gates):
    assert of(name, X[0], STATE[0], *weights(kind(3, 4))) == 2 * gates * 4 * (3 + 4)


def test_products_in_one_operator():
    assert of("linear", X, torch.zeros(4, 3), made=torch.zeros(5, 2, 4)) == 10 * 12
    a, b = torch.zeros(1, 5, 3), torch.zeros(6, 3, 4)
    assert of("matmul", a, b, made=a @ b) == 6 * 5 * 3 * 4
    assert of("matmul", a[0, 0], b, made=a[0, 0] @ b) == 6 * 3 * 4
    assert of("addr", torch.zeros(3, 4), torch.zeros(3), torch.zeros(4)) == 12


def test_convolutions_in_one_operator():
    made = torch.conv2d(IMAGE, CONV, groups=2)
    assert of("conv2d", IMAGE, CONV, None, 1, 0, 1, 2, made=made) == 6 * 16 * 2 * 9
    for name in ("cudnn_convolution", "mkldnn_convolution", "miopen_convolution"):
        assert of(name, IMAGE, CONV, [0, 0], [1, 1], [1, 1], 2, made=made) == 6 * 16 * 2 * 9
    turned = torch.zeros(4, 3, 3, 3)
    assert of("cudnn_convolution_transpose", IMAGE, turned, made=torch.zeros(1, 6, 8, 8)) == 4 * 36 * 3 * 9
    x, weight, bias = torch.zeros(7, 2, 3), torch.zeros(3, 3, 4), torch.zeros(4)
    assert of("conv_tbc", x, weight, bias, made=torch.conv_tbc(x, weight, bias)) == 5 * 2 * 3 * 3 * 4


@pytest.mark.parametrize("name", [name for name in FORMULAS if "scaled_dot_product" in name])
def test_attention_in_every_form(name):
    assert FORMULAS[name](SDPA, SDPA[..., :3, :], torch.zeros(1, 2, 3, 6), None, made=None).macs == 2 * 5 * 3 * (4 + 6)


def test_attention_with_its_projections():
    query, inner, outer = torch.zeros(2, 5, 8), torch.zeros(24, 8), torch.zeros(8, 8)
    found = of("_native_multi_head_attention", query, query, query, 8, 2, inner, inner[:, 0], outer, outer[0])
    assert found == 2 * (5 * 8 * 24 + 2 * 5 * 5 * 8 + 5 * 8 * 8)


def test_what_a_product_multiplies_is_named_and_what_it_adds_is_not():
    bias, a, b = torch.zeros(5, 4), torch.zeros(5, 3), torch.zeros(3, 4)
    assert FORMULAS["aten.addmm"](bias, a, b, made=bias).operands == (a, b)
    held = weights(nn.LSTM(3, 4))
    operands = FORMULAS["aten.lstm"](X, [STATE, STATE], held, True, made=None).operands
    assert [tuple(t.shape) for t in operands] == [(5, 2, 3), (16, 3), (16, 4)]
