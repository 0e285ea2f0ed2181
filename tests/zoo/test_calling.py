"""A network is called with inputs by name, and with a batch of its own."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.errors import ModelError
from artifacts.specs import Signature, TensorSpec
from compress.fold import fold
from zoo.calling import arguments, by_place, call, call_order


class Two(nn.Module):
    """Takes away the second input from the first."""

    def forward(self, left, right):
        return left - right


class Optional(nn.Module):
    """Has an input in the middle that may be left out."""

    def forward(self, x, mask=None, scale=None):
        x = x if mask is None else x * mask
        return x if scale is None else x * scale


class OnlyByName(nn.Module):
    def forward(self, x, *, scale):
        return x * scale


class Any(nn.Module):
    def forward(self, *inputs):
        return inputs[0] - inputs[1]


class Spoils(nn.Module):
    def forward(self, x):
        return x.mul_(2) + 1


def tensors(**values):
    return {name: torch.full((2, 3), float(value)) for name, value in values.items()}


@pytest.mark.parametrize("order", [("left", "right"), ("right", "left")])
def test_inputs_are_matched_by_name_whatever_their_order(order):
    given = tensors(left=5, right=2)
    assert call(Two(), {name: given[name] for name in order}).eq(3).all()
    assert call_order(Two(), order) == ("left", "right")


@pytest.mark.parametrize(
    "wrap", [lambda m: m, torch.jit.script, lambda m: fold(m, SIGNATURE)], ids=["module", "script", "graph"]
)
def test_programs_and_graphs_know_their_inputs_too(wrap):
    given = tensors(right=2, left=5)
    made = call(wrap(Two().eval()), given)
    assert (made[0] if isinstance(made, tuple) else made).eq(3).all()


SIGNATURE = Signature(tuple(TensorSpec(name, "float32", ("batch", 3)) for name in ("left", "right")))


def test_a_graph_knows_an_input_that_has_a_builtins_name():
    class Builtin(nn.Module):
        def forward(self, input, type):
            return input - type

    names = Signature(tuple(TensorSpec(name, "float32", ("batch", 3)) for name in ("input", "type")))
    made = call(fold(Builtin(), names), tensors(type=2, input=5))
    assert (made[0] if isinstance(made, tuple) else made).eq(3).all()


@pytest.mark.parametrize("module", [Optional(), OnlyByName()])
def test_inputs_that_are_not_the_first_ones_are_given_by_name(module):
    given = tensors(scale=3, x=2)
    assert call(module, given).eq(6).all()
    placed = by_place(copy.deepcopy(module), tuple(given))
    assert placed(torch.full((2, 3), 2.0), torch.full((2, 3), 3.0)).eq(6).all(), "in the order of the parameters"
    assert copy.deepcopy(placed)(*arguments(placed, given)).eq(6).all()
    assert list(placed.state_dict()) == list(module.state_dict())


@pytest.mark.parametrize(
    ("module", "names", "says"),
    [
        (Two(), ("left", "rigth"), r"takes no input 'rigth' \(it takes left, right\)"),
        (Two(), ("left", "right", "more"), "takes no input 'more'"),
        (Two(), ("left",), "needs an input 'right', which the data do not have"),
        (Two(), ("a", "b"), "takes no input 'a'"),
        (Two(), ("image",), "takes no input 'image'"),
        (Any(), ("inputs_", "inputs"), None),
    ],
)
def test_what_does_not_fit_is_one_sentence(module, names, says):
    if says is None:
        assert call_order(module, names) == names, "there is no name to match"
        return
    with pytest.raises(ModelError, match=says):
        call_order(module, names)


def test_names_that_say_nothing_keep_their_places():
    assert call(Two(), tensors(input_0=5, input_1=2)).eq(3).all()
    assert call(nn.Identity(), tensors(image=2)).eq(2).all()
    assert call(Any(), tensors(b=5, a=2)).eq(3).all()


@pytest.mark.parametrize("as_array", [True, False])
def test_what_a_network_writes_into_its_input_reaches_nobody_else(as_array):
    given = {"x": np.ones((2, 3), np.float32) if as_array else torch.ones(2, 3)}
    for _ in range(2):
        assert call(Spoils(), given).eq(3).all()
    assert (given["x"] == 1).all()
