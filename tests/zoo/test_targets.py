"""Targets in every form that loaders give them: their right value, or one sentence before any work."""

import numpy as np
import pytest

from artifacts.errors import DataError
from artifacts.specs import Signature, TensorSpec
from zoo.data import DataRef, from_factory, load_data
from zoo.metrics import find
from zoo.pairing import class_axis, classes_of, values_of
from zoo.targets import hold, settle

COUNT = 12
CLASSES = np.arange(COUNT) % 3
NAMES = ("cat", "dog", "owl")


def task(targets, test=None, inputs=None, **more):
    x = np.zeros((COUNT, 2), np.float32) if inputs is None else inputs
    parts = {"train": (x, targets), "test": (x, targets if test is None else test)}
    data = from_factory("data:load", {**parts, **more})

    return settle((data.train, data.test), data.labels, [find(name) for name in data.metrics])


class Lazy:
    def __init__(self, targets):
        self.targets = targets

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        return np.zeros(2, np.float32), self.targets[index]


FORMS = {
    "as they are": CLASSES,
    "column": CLASSES[:, None],
    "uint8": CLASSES.astype(np.uint8),
    "uint64": CLASSES.astype(np.uint64),
    "int32": CLASSES.astype(np.int32),
    "one-hot": np.eye(3, dtype=np.int64)[CLASSES],
    "one-hot in float": np.eye(3, dtype=np.float32)[CLASSES],
    "one-hot in bool": np.eye(3, dtype=bool)[CLASSES],
}


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_class_numbers_is_the_same_class_numbers(form, lazy):
    if lazy:
        data = from_factory("data:load", (Lazy(FORMS[form]), Lazy(FORMS[form])))
        parts = settle((data.train, data.test), None, ())
    else:
        parts = task(FORMS[form])
    for part in parts:
        found = part.batch(np.arange(COUNT))[1]
        assert found.shape == (COUNT,)
        assert np.issubdtype(found.dtype, np.integer)
        assert found.tolist() == CLASSES.tolist()
        assert len(part.fingerprint()) == 64


def test_class_numbers_that_need_nothing_are_left_as_they_are():
    data = from_factory("data:load", ((np.zeros((COUNT, 2)), CLASSES), (np.zeros((COUNT, 2)), CLASSES)))
    assert settle((data.train, data.test), None, ()) == [data.train, data.test]


@pytest.mark.parametrize("targets", [CLASSES.astype(np.float64), CLASSES.astype(np.float32)[:, None]])
def test_whole_numbers_in_float_are_classes_where_the_metric_counts_classes(targets):
    assert task(targets, metric="top1")[0].targets.tolist() == CLASSES.tolist()
    assert task(targets)[0].targets is not None
    assert task(targets)[0].targets.dtype == targets.dtype, "else they are values"


def test_names_are_looked_up_among_the_labels():
    named = np.array(NAMES)[CLASSES]
    assert task(named, labels=NAMES)[0].targets.tolist() == CLASSES.tolist()
    assert task(named[:, None], labels=NAMES)[1].targets.tolist() == CLASSES.tolist()


def test_whole_numbers_are_values_where_the_metric_is_one_of_values():
    parts = task(CLASSES, metric="mae")
    assert parts[0].targets.dtype == np.float32, "they are then trained for as values too"
    assert task(CLASSES, metric="top1")[0].targets.tolist() == CLASSES.tolist()


@pytest.mark.parametrize(
    ("targets", "more", "says"),
    [
        (np.array(NAMES)[CLASSES], {}, "the targets are text, such as 'cat'; give class numbers, or the classes' names"),
        (np.array(NAMES)[CLASSES], {"labels": ("cat", "dog")}, "hold 'owl', which is none of the labels: cat, dog"),
        (CLASSES - 1, {}, "hold class -1, and classes are counted from 0"),
        (CLASSES + 0.5, {"metric": "top1"}, r"hold 0\.5, which is no class number"),
        (CLASSES.astype(np.complex64), {}, "the targets are complex"),
        (CLASSES.astype(np.uint64) + 2**63, {}, "which is no class number"),
        (
            CLASSES[None],
            {},
            r"same number of examples, and some, along their first axis: got input \(12, 2\), targets \(1, 12\)",
        ),
        (np.int64(3), {}, "same number of examples"),
    ],
)
def test_what_no_class_number_can_be_made_of_is_one_sentence(targets, more, says):
    with pytest.raises(DataError, match=says):
        task(targets, **more)


def test_splits_of_different_kinds_are_refused():
    with pytest.raises(DataError, match=r"different kinds: int64 \(N,\) and float64 \(N, 3\)"):
        task(CLASSES, np.zeros((COUNT, 3)))


def test_a_lazy_split_is_held_to_its_first_examples():
    rows = np.concatenate([np.eye(3)[np.arange(300) % 3], np.ones((5, 3))])
    data = from_factory("data:load", (Lazy(rows), Lazy(rows)))
    parts = settle((data.train, data.test), None, ())
    with pytest.raises(DataError, match="one-hot at first are not so throughout"):
        parts[0].batch(np.arange(290, 305))


def test_a_file_of_columns_is_read_as_classes(tmp_path):
    x = np.zeros((COUNT, 2), np.float32)
    np.savez(tmp_path / "few.npz", x_train=x, y_train=CLASSES[:, None], x_test=x, y_test=CLASSES[:, None])
    data = load_data(DataRef(npz=tmp_path / "few.npz"))
    assert (data.metric, data.test.batch(np.arange(4))[1].tolist()) == ("top1", [0, 1, 2, 0])


@pytest.mark.parametrize(
    ("output", "target", "axis"),
    [
        ((4, 10), (4,), 1),
        ((4, 5, 8, 8), (4, 8, 8), 1),
        ((4, 7, 5), (4, 7), 2),
        ((4, 5, 7), (4, 7), 1),
        ((4, 8, 8, 8), (4, 8, 8), 1),
    ],
)
def test_the_axis_of_classes_follows_from_the_shapes(output, target, axis):
    assert class_axis(output, target) == axis


@pytest.mark.parametrize(
    ("output", "target", "says"),
    [
        ((4, 10), (4, 10), r"class numbers \(N, 10\) fit no axis of outputs \(N, 10\)"),
        ((4,), (4,), "fit no axis"),
        ((4, 7, 7), (4, 7), "as many classes as positions"),
        ((4, 5, 8, 9), (4, 8, 8), "fit no axis"),
    ],
)
def test_shapes_that_do_not_fit_are_one_sentence(output, target, says):
    with pytest.raises(DataError, match=says):
        class_axis(output, target)


def test_classes_beyond_the_outputs_are_named_and_ignored_ones_are_not():
    scores = np.zeros((4, 3), np.float32)
    with pytest.raises(DataError, match="hold class 7, and the network tells 3 classes apart, 0 to 2"):
        classes_of(scores, np.array([0, 1, 7, -100]))
    assert classes_of(scores, np.array([0, 1, 2, -100]))[0].shape == (4, 3)


def test_values_do_not_broadcast():
    assert values_of(np.zeros((4, 1)), np.zeros(4))[0].shape == (4,)
    for other in ((4, 4), (4, 2), (3,)):
        with pytest.raises(DataError, match="not value by value the same"):
            values_of(np.zeros((4,)), np.zeros(other))
    with pytest.raises(DataError, match="not value by value the same"):
        values_of(np.zeros((4, 3, 8, 6)), np.zeros((4, 8, 6, 3)))


@pytest.mark.parametrize(
    ("metric", "targets", "says"),
    [
        ("top1", CLASSES + 2, "training split, metric 'top1': the targets hold class 4"),
        ("mse", np.zeros((COUNT, 2), np.float32), r"metric 'mse': outputs \(N, 3\) and targets \(N, 2\)"),
        ("top5", np.zeros((COUNT, 3), np.int64), "fit no axis of outputs"),
    ],
)
def test_a_network_is_held_against_the_targets_before_work(metric, targets, says):
    data = from_factory(
        "data:load", {"train": (np.zeros((COUNT, 2)), targets), "test": (np.zeros((COUNT, 2)), targets), "metric": metric}
    )
    signature = Signature((), (TensorSpec("output", "float32", ("batch", 3)),))
    with pytest.raises(DataError, match=says):
        hold(data, signature)
