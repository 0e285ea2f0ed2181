"""A split reads what a batch asks for, and is gone through in pieces of bounded size."""

import hashlib

import numpy as np
import pytest

from zoo import splits, targets
from zoo.metrics import find
from zoo.splits import ArraySplit, Column, DatasetSplit, Preprocessing, held, parts_of, rows_at_once
from zoo.targets import Formed, settle, targets_of


class Counted:
    """A column that remembers which rows were asked for."""

    def __init__(self, values):
        self.values, self.asked = values, []
        self.shape, self.dtype = values.shape, values.dtype

    def __getitem__(self, rows):
        found = self.values[rows]
        self.asked.append(len(found))
        return found

    def digest(self):
        return "abc"


@pytest.fixture
def column():
    return Counted(np.arange(60, dtype=np.float32).reshape(20, 3))


def test_a_batch_of_a_column_is_what_was_asked_for(column):
    assert isinstance(column, Column)
    split = ArraySplit({"x": column}, np.arange(20) % 2)
    inputs, wanted = split.batch(np.array([4, 2]))
    assert inputs["x"].tolist() == [[12, 13, 14], [6, 7, 8]]
    assert wanted.tolist() == [0, 0]
    split.fingerprint()
    assert column.asked == [2]


def test_the_fingerprint_of_arrays_is_that_of_their_bytes_however_they_are_cut(monkeypatch):
    x, y = np.arange(60, dtype=np.float32).reshape(20, 3), np.arange(20)
    digest = hashlib.sha256(b"None")
    for name, array in (("x", x), ("targets", y)):
        digest.update(f"{name}{array.dtype}{array.shape}".encode() + array.tobytes())
    split = ArraySplit({"x": x}, y)
    assert split.fingerprint() == digest.hexdigest()
    monkeypatch.setattr(splits, "CHUNK", 50)
    assert [len(part) for part in parts_of(x)] == [4] * 5
    assert split.fingerprint() == digest.hexdigest()


def test_small_columns_are_held_and_large_ones_are_not(column, monkeypatch):
    assert isinstance(held(column), np.ndarray)
    monkeypatch.setattr(splits, "IN_MEMORY", 239)
    assert held(column) is column


def test_rows_at_once_follow_the_bytes_of_model_inputs():
    split = ArraySplit({"image": np.zeros((9, 1, 4, 4), np.uint8)}, np.zeros(9), Preprocessing(1.0, (0.0,), (1.0,)))
    assert rows_at_once(split, 640) == 10  # 16 pixels of 4 bytes each
    assert rows_at_once(split, 1) == 1
    assert rows_at_once(split, most=7) == 7


def test_all_targets_come_without_their_inputs(column):
    numbers = np.arange(20) % 3
    split = ArraySplit({"x": column}, numbers)
    assert targets_of(split).tolist() == numbers.tolist()
    assert targets_of(Formed(split, lambda y: y + 1)).tolist() == (numbers + 1).tolist()
    assert column.asked == []
    rows = DatasetSplit([(np.zeros(2**22), i) for i in range(5)], ("x",))
    assert targets_of(rows).tolist() == [0, 1, 2, 3, 4]


def test_large_targets_are_brought_into_form_as_they_are_read(monkeypatch):
    masks = np.zeros((400, 2, 2), np.uint8)
    masks[300:] = 3
    parts = [ArraySplit({"x": np.zeros((400, 1))}, masks)] * 2
    small = settle(parts, None, [find("top1")])
    monkeypatch.setattr(targets, "IN_MEMORY", 100)
    large = settle(parts, None, [find("top1")])
    assert (type(small[0]), type(large[0])) == (ArraySplit, Formed)
    rows = np.array([0, 399])
    assert large[0].batch(rows)[1].dtype == np.int64
    np.testing.assert_array_equal(large[0].batch(rows)[1], small[0].batch(rows)[1])
    np.testing.assert_array_equal(targets_of(large[0]), targets_of(small[0]))


def test_targets_without_an_axis_of_examples_are_refused():
    with pytest.raises(splits.DataError, match=r"targets \(\)"):
        ArraySplit({"x": np.zeros((3, 2))}, np.array(1))
