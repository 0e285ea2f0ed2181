"""Signatures with ranges: written, read back, and held against shapes."""

import json
from dataclasses import asdict

import pytest

from artifacts.errors import RequestError
from artifacts.specs import DimRange, Signature, TensorSpec

TOKENS = TensorSpec("tokens", "int64", ("batch", "length"))
SCORES = TensorSpec("scores", "float32", ("batch", 3))
RANGED = Signature((TOKENS,), (SCORES,), (DimRange("batch", 1, 8, 4), DimRange("length", 4, 32, 16)))


def test_ranges_come_back_as_written():
    assert Signature.from_json(json.loads(json.dumps(asdict(RANGED)))) == RANGED


def test_what_was_written_before_there_were_ranges_is_read():
    old = asdict(RANGED)
    del old["ranges"]
    assert Signature.from_json(old) == Signature((TOKENS,), (SCORES,))


@pytest.mark.parametrize(("batch", "sizes"), [(1, 1), (8, 8), (64, 8)])
def test_the_batch_keeps_to_its_range_and_the_rest_have_their_optimum(batch, sizes):
    assert RANGED.sizes(batch) == {"batch": sizes, "length": 16}
    assert RANGED.most(batch) == sizes


def test_without_ranges_all_dimensions_take_the_size():
    assert Signature((TOKENS,)).sizes(2) == {"batch": 2, "length": 2}
    assert Signature((TensorSpec("x", "float32", (1, 3)),)).most(256) == 1


@pytest.mark.parametrize("shape", [(1, 4), (8, 32), (3, 7)])
def test_shapes_inside_the_ranges_are_taken(shape):
    RANGED.refuse_outside({"tokens": shape}, "x.npz")


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((9, 4), r"x.npz: 'batch' \(axis 0 of input 'tokens'\) is 9, outside the range 1 to 8"),
        ((1, 3), r"x.npz: 'length' \(axis 1 of input 'tokens'\) is 3, outside the range 4 to 32"),
    ],
)
def test_shapes_outside_are_refused_in_one_sentence(shape, says):
    with pytest.raises(RequestError, match=says):
        RANGED.refuse_outside({"tokens": shape}, "x.npz")
