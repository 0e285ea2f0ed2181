"""Inputs by the names of forward, and data in every form that people have: never matched by position where they are named."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import tightship as ts
from tightship.api.networks.data import split_of
from tightship.api.networks.models import given_model, named
from zoo.splits import ArraySplit, TaskData


class Two(nn.Module):
    """Subtracts: what comes second is not what comes first."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, left, right, scale=None):
        return self.head(left - right) * (1 if scale is None else scale)


def one(rows=2, fill=0.0):
    return torch.full((rows, 4), fill)


def test_names_come_from_forward_and_not_from_the_order_of_the_dict():
    module = Two()
    arrays = named(module, {"right": one(fill=2.0), "left": one(fill=5.0)})
    assert list(arrays) == ["left", "right"]
    assert arrays["left"][0, 0] == 5.0
    artifact = ts.export(module, {"right": one(fill=2.0), "left": one(fill=5.0)})
    assert [spec.name for spec in artifact.file.signature.inputs] == ["left", "right"]
    with artifact.session() as session:
        found = session({"right": one(fill=2.0), "left": one(fill=5.0)})["output"]
        assert torch.allclose(found, module(one(fill=5.0), one(fill=2.0)), atol=1e-5)
        assert torch.allclose(session((one(fill=5.0), one(fill=2.0)))["output"], found)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"left": one()}, "forward needs 'right'"),
        ({"left": one(), "rihgt": one()}, "no parameter 'rihgt'.*did you mean 'right'"),
        ({}, "forward needs 'left'"),
        (one(), "forward takes left, right, scale, and 1 example inputs are given"),
        ((one(), one(), one(), one()), "and 4 example inputs are given"),
        ({"left": one(), "right": "text"}, "input 'right' is a str"),
        ({"left": one(2), "right": one(3)}, "'left' holds 2 examples and 'right' 3"),
        ({"left": one(), "right": torch.zeros(0, 4)}, "'right' holds no example"),
        ({"left": one(), "right": torch.tensor(1.0)}, "'right' is a scalar"),
        ({"left": one().to(torch.bfloat16), "right": one()}, "'left' cannot be read as an array"),
        ({"left": one() * 1j, "right": one()}, "'left' is an array of complex64"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_forward_does_not_take_is_refused_in_one_sentence(inputs, says):
    with pytest.raises(ts.DataError, match=says) as caught:
        given_model(Two(), inputs)
    assert "\n" not in str(caught.value)


class Gap(nn.Module):
    def forward(self, x, cache=None, mask=None):
        return x if mask is None else x * mask


class Alone(nn.Module):
    def forward(self, x, *, mode):
        return x


def test_a_gap_in_the_named_inputs_is_not_closed_by_position():
    with pytest.raises(ts.DataError, match="takes 'cache' before 'mask'"):
        named(Gap(), {"x": one(), "mask": one()})
    with pytest.raises(ts.ModelError, match="'mode' by keyword only"):
        named(Alone(), one())


@pytest.mark.parametrize("wrong", ["resnet", None, torch.zeros(1), nn.Linear], ids=repr)
def test_what_is_no_network_is_refused(wrong):
    with pytest.raises(ts.ModelError, match=r"must be a torch\.nn\.Module"):
        ts.export(wrong, one())


def test_a_network_that_cannot_run_on_its_examples_is_refused_in_one_sentence():
    with pytest.raises(ts.ModelError, match="cannot run on the example inputs"):
        ts.export(nn.Linear(3, 3), one())
    with pytest.raises(ts.RequestError, match="needs example_inputs"):
        ts.export(nn.Linear(4, 3), None)


NET, X, Y = nn.Linear(4, 3), torch.arange(24.0).view(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])


def put_together(items):
    """A batch from examples, by code of the user's own."""
    inputs, targets = zip(*items, strict=True)
    return torch.stack(inputs), torch.stack(targets)


BATCHES = [(X[:4], Y[:4]), (X[4:], Y[4:])]
FORMS = {
    "tensors": (X, Y),
    "arrays": (X.numpy(), Y.numpy()),
    "dict": ({"input": X}, Y),
    "tuple": ((X,), Y),
    "list of targets": (X, Y.tolist()),
    "data set": TensorDataset(X, Y),
    "samples": list(zip(X, Y, strict=True)),
    "loader": DataLoader(TensorDataset(X, Y), batch_size=4),
    "loader of its own": DataLoader(TensorDataset(X, Y), batch_size=4, collate_fn=put_together),
    "generator": (batch for batch in BATCHES),
    "split": ArraySplit({"input": X.numpy()}, Y.numpy()),
    "task": TaskData("mine", ArraySplit({"input": X.numpy()}, Y.numpy()), ArraySplit({"input": X.numpy()}, Y.numpy()), ()),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_data_come_in_many_forms_and_are_the_same(form):
    signature = given_model(NET, X[:2]).model.signature
    split = split_of(FORMS[form], NET, signature)
    inputs, targets = split.batch(np.arange(6))
    assert len(split) == 6
    assert list(inputs) == ["input"]
    assert np.array_equal(inputs["input"], X.numpy())
    assert np.array_equal(targets, Y.numpy())


@pytest.mark.parametrize("form", [X, {"input": X}, (X,), [(X[:4]), (X[4:])], DataLoader(TensorDataset(X, Y))], ids=range(5))
def test_calibration_takes_inputs_alone(form):
    split = split_of(iter(form) if isinstance(form, list) else form, NET, labeled=False)
    assert np.array_equal(split.batch(np.arange(6))[0]["input"], X.numpy())


def test_a_pair_without_labels_is_both_inputs_of_a_network_that_takes_two():
    split = split_of((X, X + 1), Two(), labeled=False)
    assert list(split.batch(np.arange(1))[0]) == ["left", "right"]
    labeled = split_of(((X, X + 1), Y), Two())
    assert np.array_equal(labeled.batch(np.arange(6))[1], Y.numpy())


def test_a_data_set_of_dicts_is_matched_by_name():
    items = [(OrderedDict(right=x, left=x + 1), y) for x, y in zip(X, Y, strict=True)]
    inputs, _ = split_of(items, Two()).batch(np.arange(6))
    assert list(inputs) == ["left", "right"]
    assert np.array_equal(inputs["left"], X.numpy() + 1)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (3, "got a int"),
        (X, "inputs alone, and training needs targets"),
        ([], "hold no examples"),
        (iter(()), "hold no examples"),
        ((X, Y[:3]), "same number of examples"),
        ((X[:0], Y[:0]), "same number of examples"),
        ((X.double(), Y), "'input' as float64, and the network takes float32"),
        ((X[:, :3], Y), "of shape 3, and the network takes 4"),
        (({"x": X}, Y), "no parameter 'x'"),
        ([X[0], X[1]], "not \\(inputs, target\\)"),
        (ArraySplit({"image": X.numpy()}, Y.numpy()), "have the inputs image, and the network takes input"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_data_that_do_not_fit_are_refused_in_one_sentence(data, says):
    with pytest.raises(ts.DataError, match=says) as caught:
        split_of(data, NET, given_model(NET, X[:2]).model.signature)
    assert "\n" not in str(caught.value)


def test_targets_in_double_precision_train_a_network_in_single():
    split = split_of((X, np.zeros((6, 3))), NET)
    assert split.batch(np.arange(1))[1].dtype == np.float32
