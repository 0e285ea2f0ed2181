"""Targets of several outputs: one array for a split, each matched with its output by name, none by place."""

import numpy as np
import pytest

from artifacts.errors import DataError, RequestError
from artifacts.specs import Signature, TensorSpec
from zoo.data import from_factory
from zoo.metrics import Metric, find, metric_name
from zoo.named_targets import fields, together
from zoo.pairing import IGNORED
from zoo.targets import hold

N = 6
CLASSES = np.arange(N) % 3
BOXES = np.linspace(0, 1, N * 4).reshape(N, 4)
X = np.zeros((N, 2), np.float32)
SCORES = np.eye(3, dtype=np.float32)[CLASSES]


def task(targets, metric=None, **more):
    return from_factory("data:load", {"train": (X, targets), "test": (X, targets), **more}, metric)


def outputs(**named):
    return {"boxes": BOXES.astype(np.float32), "scores": SCORES} | named


def test_fields_come_back_as_they_went_in():
    given = {"scores": CLASSES, "boxes": BOXES, "flags": np.ones((N, 2, 3), bool)}
    back = fields(together(given))
    assert list(back) == list(given)
    for name, value in given.items():
        assert back[name].dtype == value.dtype
        assert np.array_equal(back[name], value)
    assert fields(CLASSES) == {}


@pytest.mark.parametrize("targets", [{}, {"a": np.zeros(3), "b": np.zeros(4)}, {"a": np.float32(1)}])
def test_targets_of_different_numbers_of_examples_are_refused(targets):
    with pytest.raises(DataError, match="same number of examples"):
        together(targets)


def test_each_metric_reads_the_target_of_its_output():
    data = task({"scores": CLASSES, "boxes": BOXES}, ("mae@boxes", "top1@scores"))
    targets = data.test.batch(np.arange(N))[1]
    shifted = outputs(boxes=(BOXES + 0.25).astype(np.float32))
    assert data.metrics == ("mae@boxes", "top1@scores")
    assert find("mae@boxes").score(shifted, targets) == pytest.approx(0.25)
    assert find("top1@scores").score(shifted, targets) == 1
    assert find("top1@scores").score(outputs(scores=np.roll(SCORES, 1, axis=1)), targets) == 0
    assert find("top1@scores").correct(outputs(), targets).tolist() == N * [True]
    assert find("top1").score(outputs(), targets[["scores"]]) == 1, "the first output that has a target, not the first"


def test_each_target_is_settled_by_the_metric_of_its_output():
    data = task({"scores": CLASSES[:, None].astype(np.uint8), "counts": CLASSES}, ("top1@scores", "mae@counts"))
    named = fields(data.train.batch(np.arange(N))[1])
    assert (named["scores"].dtype, named["scores"].shape) == (np.int64, (N,))
    assert named["counts"].dtype == np.float32


def test_text_is_named_by_the_labels_in_targets_by_name_too():
    names = np.asarray(["cat", "dog", "owl"])[CLASSES]
    data = task({"scores": names}, labels=["cat", "dog", "owl"])
    assert fields(data.test.batch(np.arange(N))[1])["scores"].tolist() == CLASSES.tolist()
    assert data.metric == "top1@scores", "decided by the first target"


@pytest.mark.parametrize("lazy", [False, True])
def test_a_mask_of_classes_becomes_ignored_positions(lazy):
    tags, mask = np.tile(CLASSES[:, None], 4), np.tile(np.arange(4) < 2, (N, 1))
    rows = [(X[i], {"tags": tags[i], "tags_mask": mask[i]}) for i in range(N)]
    data = from_factory("f", (rows, rows)) if lazy else task({"tags": tags, "tags_mask": mask})
    named = fields(data.test.batch(np.arange(N))[1])
    assert list(named) == ["tags"]
    assert (named["tags"][:, 2:] == IGNORED).all()
    assert (named["tags"][:, :2] == tags[:, :2]).all()


def test_values_that_a_mask_leaves_out_are_not_scored():
    values, mask = np.zeros((N, 3)), np.tile([True, True, False], (N, 1))
    data = task({"output": values, "output_mask": mask}, "mae")
    found = np.full((N, 3), 0.5, np.float32)
    found[:, 2] = 1e6
    targets = data.test.batch(np.arange(N))[1]
    assert find("mae").score({"output": found}, targets) == pytest.approx(0.5)
    assert find("mae").correct({"output": found}, targets) is None
    with pytest.raises(DataError, match="no position counts"):
        find("mae").score({"output": found}, together({"output": values, "output_mask": np.zeros((N, 3), bool)}))
    with pytest.raises(DataError, match="does not say which positions"):
        find("mae").score({"output": found}, together({"output": values, "output_mask": np.zeros((N, 2), bool)}))


def spec(name, *shape):
    return TensorSpec(name, "float32", ("batch", *shape))


@pytest.mark.parametrize(
    ("names", "metric", "said"),
    [
        (("boxes", "score"), "top1@score", "the outputs boxes, score|no targets|has a target"),
        (("boxes", "score"), "top1@scores", "does not have"),
        (("a", "b"), "mae", "call them as the outputs"),
    ],
)
def test_targets_without_their_output_are_refused_before_any_work(names, metric, said):
    data = task({"scores": CLASSES, "boxes": BOXES}, metric)
    signature = Signature((spec("x", 2),), (spec(names[0], 4), spec(names[1], 3)))
    with pytest.raises(DataError, match=said):
        hold(data, signature)


def test_shapes_of_every_output_are_held_before_any_work():
    data = task({"scores": CLASSES, "boxes": BOXES}, ("top1@scores", "mae@boxes"))
    hold(data, Signature((spec("x", 2),), (spec("boxes", 4), spec("scores", 3))))
    with pytest.raises(DataError, match=r"mae@boxes.*not value by value"):
        hold(data, Signature((spec("x", 2),), (spec("boxes", 5), spec("scores", 3))))
    with pytest.raises(DataError, match="tells 2 classes apart"):
        hold(data, Signature((spec("x", 2),), (spec("boxes", 4), spec("scores", 2))))


def test_splits_whose_targets_are_called_differently_are_refused():
    with pytest.raises(DataError, match="called differently"):
        from_factory("f", {"train": (X, {"a": CLASSES}), "test": (X, {"b": CLASSES})})
    with pytest.raises(DataError, match="called differently"):
        from_factory("f", {"train": (X, {"a": CLASSES}), "test": (X, CLASSES)})


def test_a_metric_of_ones_own_is_given_all_outputs_and_targets(tmp_path, monkeypatch):
    (tmp_path / "ours.py").write_text(
        "from zoo.metrics import Metric\n"
        "def overlap(outputs, targets):\n    return float((outputs['scores'].argmax(1) == targets['scores']).mean())\n"
        "LOW = Metric('low', lambda outputs, targets: float(abs(outputs['boxes']).max()), 'smaller', targets='any')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    targets = together({"scores": CLASSES, "boxes": BOXES})
    own, record = find("ours:overlap"), find("ours:LOW")
    assert (own.score(outputs(), targets), own.direction, own.name) == (1, "larger", "ours:overlap")
    assert (record.score(outputs(), targets), record.direction) == (1, "smaller")
    assert metric_name("nowhere:at_all") == "nowhere:at_all", "not imported before it is needed"
    with pytest.raises(RequestError, match=r"cannot import 'nowhere' of metric"):
        find("nowhere:at_all")
    with pytest.raises(RequestError, match=r"no callable 'missing', named by metric"):
        find("ours:missing")
    with pytest.raises(RequestError, match="unknown metric"):
        metric_name("topp1@scores")


def test_where_classes_lie_is_found_for_each_output():
    maps = np.zeros((N, 3, 4, 4), np.float32)
    assert find("top1").classes_at({"m": maps}, np.zeros((N, 4, 4), np.int64)) == ("m", 1)
    assert find("top1").classes_at({"m": maps}, np.zeros((N, 1, 4, 4), np.int64)) == ("m", 1)
    assert find("top1").classes_at({"m": np.zeros((N, 7, 3))}, np.zeros((N, 7), np.int64)) == ("m", 2)
    assert find("top1@b").classes_at({"a": maps, "b": SCORES}, CLASSES) == ("b", 1)
    assert find("mae").classes_at({"m": maps}, maps) is None
    assert isinstance(find("top1"), Metric)
