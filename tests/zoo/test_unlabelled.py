"""Data without targets: what is held against a reference, and what against its own input."""

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.errors import DataError
from artifacts.specs import TensorSpec
from zoo.data import DataRef, load_data
from zoo.metrics import find
from zoo.named_targets import fields
from zoo.unlabelled import answered

X = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """Data of inputs alone, by a factory of this name."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "bare_rows.py").write_text(
        "import numpy as np\n"
        "X = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)\n"
        "def alone():\n    return {'train': X, 'test': {'input': X}}\n"
        "def two():\n    return {'train': {'a': X, 'b': X}, 'test': {'a': X, 'b': X}}\n"
    )
    return lambda name, **more: load_data(DataRef(factory=f"bare_rows:{name}", **more))


def test_outputs_are_held_against_the_reference(rows):
    data = rows("alone", targets="none")
    assert (data.labelled, data.metric, len(data.train)) == (False, "relative-error", 300)
    module = nn.Linear(4, 3)
    spec = TensorSpec("output", "float32", ("batch", 3))
    asked = answered(data, module, (spec,))
    inputs, targets = asked.test.batch(np.arange(299, -1, -1))
    with torch.no_grad():
        assert np.allclose(targets, module(torch.from_numpy(inputs["input"])).numpy(), atol=1e-6)
    assert find("relative-error").score({"output": targets}, targets) == 0
    assert find("relative-error").score({"output": 1.5 * targets}, targets) == pytest.approx(0.5)
    assert answered(asked, module, (spec,)).test is not None
    assert len(asked.train.fingerprint()) == 64
    assert asked.train.fingerprint() != data.train.fingerprint()


class Heads(nn.Module):
    def forward(self, input):
        return {"a": input.sum(1), "state": input.T[None], "b": input}


def test_several_outputs_are_answered_by_name_with_their_examples_first(rows):
    specs = TensorSpec("a", "float32", ("batch",)), TensorSpec("state", "float32", (1, 4, "batch"), 2)
    asked = answered(rows("alone", targets="none"), Heads(), (*specs, TensorSpec("c", "float32", (3,), None)))
    named = fields(asked.train.batch(np.arange(280))[1])
    assert {name: value.shape for name, value in named.items()} == {"a": (280,), "state": (280, 1, 4)}
    assert np.allclose(named["state"][:, 0], X[:280])


def test_the_input_may_be_the_target(rows):
    data = rows("alone", targets="inputs", metric=("mae",))
    inputs, targets = data.test.batch(np.arange(5))
    assert np.array_equal(inputs["input"], targets)
    assert inputs["input"] is not targets
    assert (data.metric, data.labelled) == ("mae", True)
    with pytest.raises(DataError, match=r"one input of real numbers, and these have a \(float32\), b \(float32\)"):
        rows("two", targets="inputs")


def test_agreement_is_that_of_the_largest_value():
    wanted = np.eye(3, dtype=np.float32)
    found = wanted[[0, 1, 0]]
    assert find("agreement").score({"output": found}, wanted) == pytest.approx(2 / 3)
    assert find("agreement").correct({"output": found}, wanted).tolist() == [True, True, False]
    tags = np.stack([wanted, wanted])
    assert find("agreement").score({"output": np.stack([wanted, found])}, tags) == pytest.approx(5 / 6)
    assert find("agreement").score({"output": np.float32([[1], [-2]])}, np.float32([[3], [4]])) == 0.5
