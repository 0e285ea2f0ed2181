"""A network's outputs as the user calls them, where it gives a tuple."""

import copy

import pytest
import torch
from torch import nn

from artifacts.errors import ModelError
from artifacts.types import ModelRef
from zoo.calling import by_place, call
from zoo.models import build
from zoo.outputs import called, named_outputs

NETS = """
from torch import nn

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, b, *, a):
        return self.fc(b), (a + 1, a)
"""


@pytest.fixture
def ref(tmp_path, monkeypatch):
    (tmp_path / "two_outputs.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    return ModelRef(factory="two_outputs:Two", outputs=("scores", "more", "same"))


def test_outputs_are_called_as_the_user_says_and_nothing_else_changes(ref):
    module = by_place(build(ref), ["a", "b"])
    inputs = {"a": torch.zeros(5), "b": torch.ones(5, 3)}
    for network in (module, copy.deepcopy(module)):
        named = named_outputs(call(network, inputs))
        assert {name: tuple(value.shape) for name, value in named.items()} == {"scores": (5, 2), "more": (5,), "same": (5,)}
    assert list(module.state_dict()) == ["fc.weight", "fc.bias"]
    assert type(module).__name__ == "Two"


def test_another_number_of_names_is_refused_when_it_is_called(ref):
    module = called(build(ModelRef(factory=ref.factory)), ["scores"])
    with pytest.raises(ModelError, match=r"gives 3 outputs \(output_0, output_1_0, output_1_1\), and 1 are named"):
        module(torch.ones(5, 3), a=torch.zeros(5))


@pytest.mark.parametrize("names", [("a", "a"), ("a", "")])
def test_names_that_tell_nothing_apart_are_refused(names):
    with pytest.raises(ModelError, match="a name of its own"):
        called(nn.Linear(2, 2), names)
