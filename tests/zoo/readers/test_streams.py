"""Data sets that can only be gone through are read once, and then indexed like any other."""

import functools
import itertools
import shutil

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from zoo.data import DataRef, fingerprint, from_factory, load_data
from zoo.readers import spool, streams
from zoo.splits import ArraySplit, DatasetSplit

COUNT = 700


def examples(count=COUNT):
    for i in range(count):
        yield np.full(3, i, np.float32), i % 4


class Stream(IterableDataset):
    """Counts how often it is gone through."""

    def __init__(self, count=COUNT):
        self.count, self.passes = count, 0

    def __iter__(self):
        self.passes += 1
        return examples(self.count)


class Sized(Stream):
    def __len__(self):
        return self.count


class Plain:
    """No class of PyTorch."""

    def __iter__(self):
        return examples()


def joined(rows):
    return torch.stack([torch.from_numpy(x) for x, _ in rows]) * 2, torch.tensor([y for _, y in rows])


KINDS = {
    "generator": lambda: examples(),
    "generator function": lambda: examples,
    "partial": lambda: functools.partial(examples, COUNT),
    "iterable data set": Stream,
    "with a length": Sized,
    "plain class": Plain,
    "loader": lambda: DataLoader(Stream(), batch_size=32, drop_last=True),
    "loader without batches": lambda: DataLoader(Stream(), batch_size=None),
    "zip": lambda: zip(*zip(*examples(), strict=True), strict=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_whole_and_in_order(kind):
    data = from_factory("a:b", (KINDS[kind](), KINDS[kind]()))
    assert len(data.train) == COUNT
    inputs, targets = data.train.batch(np.array([699, 3]))
    assert inputs["input"].tolist() == [[699] * 3, [3] * 3]
    assert targets.tolist() == [3, 3]
    assert (data.metric, data.inputs[0].shape) == ("top1", ("batch", 3))


def test_a_loader_that_puts_examples_together_in_its_own_way_is_read_by_that():
    data = from_factory("a:b", (DataLoader(Stream(), batch_size=32, collate_fn=joined), examples()))
    assert len(data.train) == COUNT
    assert data.train.batch(np.array([40]))[0]["input"].tolist() == [[80] * 3]


@pytest.mark.parametrize("part", [[(np.ones(3), 1)] * 4, (np.ones((4, 3)), np.arange(4))], ids=["list", "arrays"])
def test_what_can_be_indexed_is_left_as_it_is(part):
    data = from_factory("a:b", {"train": examples, "test": part, "labels": "abcd"})
    assert isinstance(data.test, DatasetSplit if isinstance(part, list) else ArraySplit)
    assert data.labels == tuple("abcd")


@pytest.fixture
def small(monkeypatch):
    """Spools go to their files after 1,000 bytes."""
    monkeypatch.setattr(spool, "IN_MEMORY", 1000)
    monkeypatch.setattr(streams, "AT_ONCE", 32)


def test_a_long_one_lies_in_a_file_without_a_name(small, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    data = from_factory("a:b", (examples(), examples()))
    assert isinstance(data.train.inputs["input"], np.memmap)
    assert list(tmp_path.iterdir()) == []
    assert data.train.batch(np.array([699]))[0]["input"].tolist() == [[699] * 3]
    short = from_factory("a:b", (examples(9), examples(9)))
    assert not isinstance(short.train.inputs["input"], np.memmap)


def test_the_same_examples_have_the_same_fingerprint_wherever_they_lie(small, monkeypatch):
    long = from_factory("a:b", (examples(), examples())).train.fingerprint()
    monkeypatch.setattr(spool, "IN_MEMORY", 2**28)
    assert from_factory("a:b", (examples(), examples())).train.fingerprint() == long


def test_inputs_by_name_text_as_targets_and_tensors_are_kept(small):
    rows = [({"a": torch.ones(2) * i, "b": i}, ["no", "maybe"][i % 2]) for i in range(100)]
    data = from_factory("a:b", {"train": iter(rows), "test": iter(rows), "labels": ["maybe", "no"]})
    inputs, targets = data.test.batch(np.array([5, 6]))
    assert (inputs["a"].tolist(), inputs["b"].tolist(), targets.tolist()) == ([[5, 5], [6, 6]], [5, 6], [0, 1])
    two = [((np.zeros(1), np.ones(2)), 0), ((np.zeros(1), np.ones(2)), 1)]
    assert [s.name for s in from_factory("a:b", (iter(two), iter(two))).inputs] == ["input_0", "input_1"]


class Endless(IterableDataset):
    def __iter__(self):
        return ((np.float32([i]), i % 2) for i in itertools.count())


def test_an_endless_one_is_read_up_to_its_length():
    endless = Endless()
    endless.length = 300
    data = from_factory("a:b", (endless, endless))
    assert len(data.train) == 300
    assert data.train.batch(np.array([299]))[0]["input"].tolist() == [[299]]


def test_a_length_cuts_the_batches_of_a_loader_too():
    loader = DataLoader(Stream(), batch_size=32, collate_fn=joined)
    loader.length = 40
    assert len(from_factory("a:b", (loader, examples())).train) == 40


def test_an_endless_one_without_a_length_is_refused(refused, monkeypatch):
    monkeypatch.setattr(streams, "LONGEST", 1000)
    refused(lambda: from_factory("a:b", (Endless(), Endless())), "train split", "'a:b'", "`length`")


def test_a_disk_that_runs_full_is_refused(refused, small, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 100))
    refused(lambda: from_factory("a:b", (Endless(), Endless())), "TMPDIR", "`length`", "0.0 GB free")


def lasting(length, part=None):
    part = part or Stream()
    part.length = length
    return part


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (lambda: iter(()), ["empty"]),
        (lambda: iter([1, 2]), ["int", "(inputs, target)"]),
        (lambda: iter([(np.ones(2), 0), (np.ones(3), 1)]), ["(2,)", "(3,)", "pad"]),
        (lambda: iter([({"a": 1}, 0), ({"b": 1}, 1)]), ["a ()", "b ()"]),
        (lambda: iter([((1, 2), 0), ((1, 2, 3), 1)]), ["input_2"]),
        (lambda: lasting(1000), ["1,000", "700"]),
        (lambda: lasting(0), ["`length`", "0"]),
        (lambda: lasting("many"), ["`length`", "'many'"]),
        (lambda: {1, 2}, ["int"]),
    ],
)
def test_streams_that_make_no_data_set_are_refused(refused, part, words):
    refused(lambda: from_factory("a:b", (examples(), part())), "the test split of data factory 'a:b'", *words)


def test_types_that_differ_later_are_refused(refused, monkeypatch):
    monkeypatch.setattr(streams, "AT_ONCE", 2)
    rows = [(1, 0), (2, 0), (1.5, 0), (2.5, 0)]
    refused(lambda: from_factory("a:b", (iter(rows), iter(rows))), "input", "float64", "int64")


def test_a_factory_of_streams_is_called_once(tmp_path, monkeypatch):
    (tmp_path / "made_of_streams.py").write_text(
        "import numpy as np\n"
        "CALLS = []\n"
        "def load():\n"
        "    CALLS.append(1)\n"
        "    rows = lambda: ((np.float32([i]), i % 2) for i in range(10))\n"
        "    return rows(), rows()\n"
        "def arrays():\n"
        "    CALLS.append(2)\n"
        "    return ((np.float32([[1]]), np.array([0])),) * 2\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import made_of_streams

    ref = DataRef(factory="made_of_streams:load")
    print_before = fingerprint(ref)
    assert load_data(ref).train.batch(np.arange(10))[1].tolist() == [0, 1] * 5
    assert fingerprint(ref) == print_before
    assert made_of_streams.CALLS == [1]
    for _ in range(2):
        load_data(DataRef(factory="made_of_streams:arrays"))
    assert made_of_streams.CALLS == [1, 2, 2]


def test_the_errors_of_a_stream_are_its_own():
    def broken():
        yield np.ones(2), 0
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        from_factory("a:b", (broken, examples))


@pytest.mark.parametrize("batched", [False, True])
def test_targets_by_name_are_kept_by_name(batched, small):
    def rows():
        for i in range(30):
            yield np.full(3, i, np.float32), {"kind": i % 4, "place": np.full(2, i, np.float32)}

    def together_(items):
        inputs, targets = zip(*items, strict=True)
        return np.stack(inputs), {name: np.stack([t[name] for t in targets]) for name in targets[0]}

    class Named(IterableDataset):
        def __iter__(self):
            return rows()

    part = DataLoader(Named(), 8, collate_fn=together_) if batched else Named()
    targets = from_factory("f", {"train": part, "test": part}, ("top1@kind",)).train.batch(np.array([29, 3]))[1]
    assert targets["kind"].tolist() == [1, 3]
    assert targets["place"].tolist() == [[29, 29], [3, 3]]
