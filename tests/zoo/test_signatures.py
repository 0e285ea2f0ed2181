"""Along which axis of each output the examples lie is found, not assumed."""

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.arrays import examples_first, joined
from artifacts.errors import ModelError
from artifacts.specs import TensorSpec
from zoo.signatures import signature_on

INPUTS = (TensorSpec("x", "float32", ("batch", 3)),)
EXAMPLES = {"x": np.arange(6, dtype=np.float32).reshape(2, 3)}


class Gives(nn.Module):
    def __init__(self, give):
        super().__init__()
        self.give = give

    def forward(self, x):
        return self.give(x)


def signature(give, batched=True):
    return signature_on(Gives(give), INPUTS, EXAMPLES, "the examples", batched)


def test_every_output_has_its_own_axis():
    found = signature(lambda x: {"scores": x, "state": torch.stack([x, x]), "anchors": torch.ones(4), "mean": x.mean(1)})
    assert {spec.name: (spec.shape, spec.batch_axis) for spec in found.outputs} == {
        "scores": (("batch", 3), 0), "state": ((2, "batch", 3), 1), "anchors": ((4,), None), "mean": (("batch",), 0),
    }  # fmt: skip


def test_without_a_batch_all_is_fixed():
    (spec,) = signature(lambda x: torch.stack([x, x]), batched=False).outputs
    assert spec.shape == (2, 2, 3)


@pytest.mark.parametrize("give", [lambda x: x @ x.T, lambda x: x.flatten(), lambda x: torch.cat([x, x])])
def test_examples_along_several_axes_or_in_other_numbers_are_refused(give):
    with pytest.raises(ModelError, match=r"its examples do not lie along one axis; return it as \(N, ...\)"):
        signature(give)


def test_a_network_that_takes_one_number_only_has_fixed_outputs():
    def two_only(x):
        assert len(x) == 2
        return x

    assert signature(two_only).outputs[0].shape == (2, 3)


def test_outputs_of_several_calls_are_put_together_along_their_axis():
    specs = signature(lambda x: (x, torch.stack([x, x]), torch.ones(4))).outputs
    calls = [{"output_0": np.full((n, 3), n), "output_1": np.full((2, n, 3), n), "output_2": np.ones(4)} for n in (1, 2)]
    made = joined(calls, specs)
    assert {name: value.shape for name, value in made.items()} == {"output_0": (3, 3), "output_1": (2, 3, 3), "output_2": (4,)}
    first = examples_first(made, specs)
    assert first["output_1"].shape == (3, 2, 3)
    assert first["output_1"][:, 0, 0].tolist() == [1, 2, 2]
    assert first["output_2"].shape == (1, 4)
