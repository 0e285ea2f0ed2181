"""Inputs whose examples the network wants along another axis than the first, as recurrent layers do with their state."""

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.errors import DataError, ModelError
from artifacts.types import ModelRef
from zoo.calling import by_place, call, examples_lead
from zoo.data import from_factory, led_by_examples
from zoo.models import build, complete
from zoo.signatures import trace_signature

NETS = """
import torch
from torch import nn

class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 4, 2, batch_first=True)

    def forward(self, x, state):
        said, state = self.gru(x, state)
        return {"said": said, "next_state": state}
"""
X, STATE = np.ones((6, 5, 3), np.float32), np.random.default_rng(0).normal(size=(6, 2, 4)).astype(np.float32)


@pytest.fixture
def data():
    part = {"state": STATE, "x": X}, np.zeros(6, np.int64)
    return led_by_examples(from_factory("f", (part, part)), {"state": 1})


@pytest.fixture
def ref(tmp_path, monkeypatch, data):
    (tmp_path / "recurrent_nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    return complete(ModelRef(factory="recurrent_nets:Recurrent"), data)


def test_a_network_is_given_its_state_as_it_wants_it(ref, data):
    torch.manual_seed(0)
    module = by_place(build(ref), ["state", "x"]).eval()
    inputs = data.train.batch(np.arange(6))[0]
    with torch.no_grad():
        made = call(module, inputs)
        said, state = module.gru(torch.from_numpy(X), torch.from_numpy(STATE).movedim(0, 1).contiguous())
    assert torch.allclose(made["said"], said)
    assert torch.allclose(made["next_state"], state)
    signature = trace_signature(module, data)
    assert {spec.name: spec.shape for spec in signature.inputs} == {"x": ("batch", 5, 3), "state": ("batch", 2, 4)}
    assert {spec.name: spec.batch_axis for spec in signature.outputs} == {"said": 0, "next_state": 1}


@pytest.mark.parametrize(
    ("axes", "said"), [({"stat": 1}, "did you mean 'state'"), ({"state": 0}, "has 2 axes"), ({"x": 3}, "has 2 axes")]
)
def test_axes_that_cannot_be_are_refused(data, axes, said):
    with pytest.raises(DataError, match=said):
        led_by_examples(data, axes)


def test_an_input_that_forward_does_not_take_is_refused():
    with pytest.raises(ModelError, match="forward does not take"):
        examples_lead(nn.Linear(2, 2), {"state": 1})
