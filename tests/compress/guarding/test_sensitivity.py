"""Which layer loses most in int8: the order, the shares of the noise, the few that stand out, and what layers weigh."""

import numpy as np
import pytest
from torch import nn

from artifacts.errors import ModelError
from artifacts.specs import Signature, TensorSpec
from artifacts.types import ModelRef, TorchModel
from compress.counting import macs
from compress.guarding.sensitivity import (
    MOST_DB,
    LayerSensitivity,
    Loss,
    layer_names,
    noise_shares,
    rank,
    sizes,
    sqnr,
    standing_out,
)


class Net(nn.Module):
    """A convolution with a norm behind it, a grouped one, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.linear = nn.Linear(8, 5, bias=False)

    def forward(self, x):
        """(N, 3, H, W) -> (N, 5)."""
        return self.linear(self.grouped(self.first(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def model():
    signature = Signature((TensorSpec("x", "float32", ("batch", 3, 8, 8)),), (TensorSpec("y", "float32", ("batch", 5)),))
    return TorchModel(Net().eval(), ModelRef(None, None), signature)


def alone(**levels):
    return [LayerSensitivity(name, Loss(db)) for name, db in levels.items()]


def test_layers_kept_float_already_are_not_ranked(model):
    assert layer_names(model) == ["first.0", "grouped", "linear"]
    assert layer_names(model, ["first", "linear"]) == ["grouped"]


def test_what_layers_weigh_is_what_the_network_weighs(model):
    example = {"x": np.zeros((2, 3, 8, 8), np.float32)}
    found = sizes(model, example)
    assert sum(size.macs for size in found.values()) == macs(model.module, example)
    assert found["first.0"].parameters == 3 * 8 * 9 + 8  # the norm becomes its bias
    assert found["grouped"].parameters == 8 * 2 * 9 + 8
    assert (found["linear"].parameters, found["linear"].macs) == (40, 40)


def test_the_order_is_that_of_the_loss_and_each_file_has_one_layer_in_int8():
    seen = {}

    def lost(kept):
        (layer,) = {"a", "b", "c"} - set(kept)
        seen[layer] = kept
        return Loss({"a": 30.0, "b": 5.0, "c": 20.0}[layer])

    assert [s.layer for s in rank(["a", "b", "c"], lost, lambda share, text: None)] == ["b", "c", "a"]
    assert seen == {"a": ("b", "c"), "b": ("a", "c"), "c": ("a", "b")}


def test_a_layer_that_cannot_be_in_int8_comes_last_and_if_none_can_it_is_refused():
    def lost(kept):
        if "a" not in kept:
            raise ModelError("nothing was converted")
        return Loss(MOST_DB)

    ranked = rank(["a", "b"], lost, lambda share, text: None)
    assert [(s.layer, s.loss is None, s.reason) for s in ranked] == [("b", False, None), ("a", True, "nothing was converted")]
    with pytest.raises(ModelError, match="nothing was converted"):
        rank(["a"], lost, lambda share, text: None)


def test_shares_leave_out_what_is_lost_between_the_layers():
    ranked = alone(a=10.0, b=20.0, c=20.0)  # noise of 0.1, 0.01 and 0.01 of the signal
    assert noise_shares(ranked, None) == pytest.approx({"a": 10 / 12, "b": 1 / 12, "c": 1 / 12})
    assert noise_shares(ranked, Loss(20.0)) == pytest.approx({"a": 1.0, "b": 0.0, "c": 0.0})
    assert noise_shares(alone(a=20.0), Loss(20.0)) == {}


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({"a": 0.8, "b": 0.1, "c": 0.1}, ("a",)),
        ({"a": 0.5, "b": 0.3, "c": 0.2}, ()),
        ({**{f"l{n}": 0.02 for n in range(6)}, "a": 0.48, "b": 0.4}, ("a", "b")),
        ({f"l{n}": 0.1 for n in range(10)}, ()),
        ({"a": 1.0}, ()),  # nothing else would be left in int8
        ({}, ()),
    ],
)
def test_few_layers_stand_out_or_none_does(shares, expected):
    assert standing_out(shares) == expected


def test_a_tenth_of_the_signal_is_20_db():
    signal = np.ones((4, 3), np.float32)
    assert sqnr(signal, signal * 0.9) == pytest.approx(20.0, abs=1e-4)
