"""Each metric is what its name says, by sums made by hand; and bad outputs or targets of another kind are refused."""

import numpy as np
import pytest

from artifacts.errors import DataError, RequestError
from artifacts.plugins import Registry
from zoo.data import DataRef, load_data
from zoo.metrics import METRICS, Metric, usual

SCORES = {"output": np.array([[0.1, 0.7, 0.2, 0, 0, 0], [6, 5, 4, 3, 2, 1], [1, 2, 3, 4, 5, 6]], np.float32)}
LABELS = np.array([1, 5, 1])
VALUES = {"output": np.array([[1.0, 3.0], [0.0, 0.0]], np.float32)}
WANTED = np.array([[1.0, 1.0], [1.0, -3.0]], np.float32)
LOGITS = {"output": np.array([[1, -1, 2], [1, 1, -1]], np.float32)}
SEVERAL = np.array([[1, 0, 0], [1, 0, 1]], np.float32)

BY_HAND = {
    "top1": (SCORES, LABELS, 1 / 3, [True, False, False]),
    "top5": (SCORES, LABELS, 2 / 3, [True, False, True]),
    "mse": (VALUES, WANTED, (0 + 4 + 1 + 9) / 4, [2.0, 5.0]),
    "negative-mse": (VALUES, WANTED, -(0 + 4 + 1 + 9) / 4, None),
    "mae": (VALUES, WANTED, (0 + 2 + 1 + 3) / 4, [1.0, 2.0]),
    "rmse": (VALUES, WANTED, ((0 + 4 + 1 + 9) / 4) ** 0.5, None),
    "r2": (VALUES, WANTED, 1 - 14 / (0 + 0 + 4 + 4), None),
    "f1-micro": (LOGITS, SEVERAL, 2 * 2 / (4 + 1 + 2), None),
    "f1-macro": (LOGITS, SEVERAL, (1 + 0 + 0) / 3, None),
    "agreement": (VALUES, WANTED, 1 / 2, [False, True]),
    "relative-error": (VALUES, WANTED, (2 / 2**0.5 + 1) / 2, [2 / 2**0.5, 1.0]),
}


def test_the_table_below_covers_every_metric():
    assert set(BY_HAND) == set(METRICS.own())
    assert all(name == metric.name for name, metric in METRICS.items())


@pytest.mark.parametrize("name", BY_HAND)
def test_a_metric_is_the_sum_made_by_hand(name):
    outputs, targets, value, each = BY_HAND[name]
    metric = METRICS[name]
    assert metric.score(outputs, targets) == pytest.approx(value)
    if each is None:
        assert metric.per_example is None
        return
    found = metric.per_example(outputs, targets)
    assert found.tolist() == each
    assert found.mean() == pytest.approx(value)
    right = metric.correct(outputs, targets)
    assert (right is None) == (found.dtype != bool)


@pytest.mark.parametrize("name", BY_HAND)
def test_the_direction_is_that_of_better_outputs(name):
    _, targets, value, _ = BY_HAND[name]
    metric = METRICS[name]
    perfect = np.eye(6, dtype=np.float32)[targets] if metric.classifies else targets
    best = metric.score({"output": perfect}, targets)
    assert metric.lost(value, best) > 0 > metric.lost(best, value)
    assert metric.lost(best, best) == 0


def test_equal_scores_count_in_the_order_of_the_classes():
    outputs, targets = {"output": np.zeros((10, 10), np.float32)}, np.arange(10)
    assert METRICS["top1"].correct(outputs, targets).tolist() == [True] + 9 * [False]
    assert METRICS["top5"].correct(outputs, targets).tolist() == 5 * [True] + 5 * [False]


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_output_that_is_no_number_is_refused(name, bad):
    outputs, targets, *_ = BY_HAND[name]
    broken = {"output": outputs["output"].copy()}
    broken["output"][1, 0] = bad
    with pytest.raises(DataError, match=r"1 outputs are NaN or infinite"):
        METRICS[name].score(broken, targets)


def test_targets_that_are_no_classes_are_refused_in_one_sentence():
    with pytest.raises(DataError, match=r"'top1' needs class numbers \(N, ...\) as targets, and the data's are float64 \(N,\)"):
        METRICS["top1"].score(SCORES, np.ones(3))
    with pytest.raises(DataError, match=r"class numbers \(N, 2\) fit no axis of outputs"):
        METRICS["top1"].score(SCORES, np.ones((3, 2), int))


@pytest.mark.parametrize("name", ["top1", "top5"])
def test_positions_count_each_and_ignored_ones_do_not(name):
    scores = np.zeros((2, 8, 3), np.float32)
    scores[:, 4] = 1
    targets = np.array([[4, 4, 7], [4, -100, -100]])
    classes_last = {"output": np.moveaxis(scores, 1, 2)}
    for outputs in ({"output": scores}, classes_last):
        assert METRICS[name].score(outputs, targets) == pytest.approx(3 / 4)
        assert METRICS[name].per_example(outputs, targets) == pytest.approx([2 / 3, 1])
        assert METRICS[name].correct(outputs, targets) is None, "an example is neither right nor wrong"


def test_a_label_that_is_never_there_is_no_reason_for_a_worse_mean():
    outputs, targets = {"output": np.array([[1.0, -1.0]])}, np.array([[1.0, 0.0]])
    assert METRICS["f1-macro"].score(outputs, targets) == METRICS["f1-micro"].score(outputs, targets) == 1
    with pytest.raises(DataError, match="'f1-micro' is nan"):
        METRICS["f1-micro"].score({"output": np.array([[-1.0, -1.0]])}, np.zeros((1, 2)))


def test_a_metric_of_two_outputs_is_not_computed_from_one():
    both = Metric("both", lambda outputs, targets: 1.0, outputs=2)
    assert both.score({"a": np.ones(2), "b": np.ones(2)}, np.ones(2)) == 1.0
    with pytest.raises(DataError, match="reads 2 outputs, and the network has 1"):
        both.score({"a": np.ones(2)}, np.ones(2))


def test_a_value_that_is_no_number_is_refused():
    with pytest.raises(DataError, match="metric 'odd' is nan over 2 examples"):
        Metric("odd", lambda outputs, targets: float("nan")).score({"a": np.ones(2)}, np.ones(2))


def test_data_that_names_no_metric_gets_one_by_its_targets():
    assert usual(np.ones(3, np.uint8)) == "top1"
    assert METRICS[usual(np.ones(3))].targets == "values"


def test_the_recipe_names_the_metric_of_its_data(tmp_path):
    path = tmp_path / "few.npz"
    x, y = np.ones((4, 2), np.float32), np.full(4, 0.5, np.float32)
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    assert load_data(DataRef(npz=path)).metric == "negative-mse"
    assert load_data(DataRef(npz=path, metric="mae")).metric == "mae"
    with pytest.raises(DataError, match=r"hold 0\.5, which is no class number"):
        load_data(DataRef(npz=path, metric="top5"))
    with pytest.raises(RequestError, match="unknown metric 'maee'; did you mean 'mae'"):
        load_data(DataRef(npz=path, metric="maee"))
    assert load_data(DataRef(zoo="digits", metric="top5")).metric == "top5"


def test_others_may_bring_metrics():
    assert isinstance(METRICS, Registry)
    assert METRICS.group == "tightship.metrics"
