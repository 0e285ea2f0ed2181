"""Examples of different lengths: padded to one, with masks for the network and for what counts."""

import numpy as np
import pytest

from artifacts.errors import DataError
from zoo.data import from_factory
from zoo.metrics import find
from zoo.named_targets import fields
from zoo.padding import Pad
from zoo.pairing import IGNORED

WORDS = [np.arange(1, 4), np.arange(1, 6), np.arange(1, 2)]
TAGS = [word % 2 for word in WORDS]
PADS = {"tokens": Pad(5, 0, "mask")}


def split(targets, pads=PADS, inputs=WORDS):
    part = {"tokens": inputs}, targets
    return from_factory("f", (part, part), None, True, pads).train


def test_inputs_and_class_numbers_are_padded_and_the_network_is_told():
    inputs, tags = split(TAGS).batch(np.arange(3))
    assert inputs["tokens"].tolist() == [[1, 2, 3, 0, 0], [1, 2, 3, 4, 5], [1, 0, 0, 0, 0]]
    assert inputs["mask"].tolist() == [[True] * 3 + [False] * 2, [True] * 5, [True] + [False] * 4]
    assert tags.tolist() == [[1, 0, 1, IGNORED, IGNORED], [1, 0, 1, 0, 1], [1] + 4 * [IGNORED]]


def test_one_class_for_an_example_stays_one():
    assert split(np.array([0, 1, 1])).batch(np.arange(3))[1].tolist() == [0, 1, 1]


def test_values_for_each_position_have_a_mask_and_only_real_ones_are_scored():
    part = split({"level": [word / 10 for word in WORDS]})
    targets = part.batch(np.arange(3))[1]
    named = fields(targets)
    assert named["level_mask"].sum(axis=1).tolist() == [3, 5, 1]
    found = named["level"] + 0.5
    found[~named["level_mask"]] = 99
    assert find("mae@level").score({"level": found}, targets) == pytest.approx(0.5)
    with pytest.raises(DataError, match="by the name of their output"):
        split([word / 10 for word in WORDS])


def test_vectors_at_positions_are_padded_along_the_first_axis():
    rows = [np.ones((len(word), 2), np.float32) for word in WORDS]
    made = split(np.zeros(3, int), {"tokens": Pad(6, -1)}, rows).batch(np.arange(3))[0]
    assert set(made) == {"tokens"}
    assert made["tokens"].shape == (3, 6, 2)
    assert made["tokens"][0, :, 0].tolist() == [1, 1, 1, -1, -1, -1]


def test_a_map_style_data_set_is_padded_too():
    rows = [({"tokens": word, "scale": np.float32(1)}, tags) for word, tags in zip(WORDS, TAGS, strict=True)]
    part = from_factory("f", (rows, rows), None, True, PADS).test
    inputs, tags = part.batch(np.array([2, 0]))
    assert {name: value.shape for name, value in inputs.items()} == {"tokens": (2, 5), "scale": (2,), "mask": (2, 5)}
    assert tags.shape == (2, 5)


@pytest.mark.parametrize(
    ("pads", "said"),
    [
        ({"tokens": Pad(4)}, r"example 1 has 5 positions of 'tokens', and 'pad' says 4"),
        ({"token": Pad(5)}, "did you mean 'tokens'"),
    ],
)
def test_what_cannot_be_padded_is_refused(pads, said):
    with pytest.raises(DataError, match=said):
        split(np.zeros(3, int), pads).batch(np.arange(3))


def test_longer_ones_are_cut_where_that_is_asked_for():
    inputs, tags = split(TAGS, {"tokens": Pad(2, cut=True)}).batch(np.arange(3))
    assert inputs["tokens"].tolist() == [[1, 2], [1, 2], [1, 0]]
    assert tags.tolist() == [[1, 0], [1, 0], [1, IGNORED]]
