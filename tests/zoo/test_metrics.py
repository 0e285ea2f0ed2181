"""Each metric is what its name says, by sums made by hand; and bad outputs or targets of another kind are refused."""

import re
from pathlib import Path

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

WIDE = {"output": np.tile(np.arange(12.0, 0, -1), (2, 1))}
TENTH = np.array([9, 10])
BOTH = {"output": np.eye(2)[[0, 0, 1, 1, 1]]}
TRUE = np.array([0, 1, 1, 1, 0])
RISING = np.array([0.1, 0.4, 0.35, 0.8])
TWO = {"output": np.stack([np.zeros(4), 9 * RISING], axis=1)}
LABELLED = {"output": np.stack([RISING, RISING], axis=1)}
PLACES = {"output": np.log([[[1 / 2, 1 / 4, 1 / 4], [1 / 8, 7 / 16, 7 / 16], [1 / 3, 1 / 3, 1 / 3], [1 / 3, 1 / 3, 1 / 3]]])}
SAID = {"output": np.eye(5)[[[1, 3, 2, 0], [0, 2, 2, 3]]]}
TOKENS = np.array([[1, 2, 3, -100], [-100, 2, 2, 1]])
PATHS = {"output": np.eye(4)[[[0, 1, 1, 0, 1, 2], [3, 3, 3, 0, 2, 2]]]}
SPOKEN = np.array([[1, 1, -100], [3, 2, -100]])
ARROWS = {"output": np.array([[3.0, 4.0], [1.0, 0.0]])}
IMAGES = {"output": np.array([[[0.1, 0.9]], [[0.01, 0.99]]])}
GRAY = {"output": np.full((2, 3, 8, 8), 0.5, np.float32)}
BLACK_AND_WHITE = np.stack([np.zeros((3, 8, 8), np.float32), np.ones((3, 8, 8), np.float32)])


def boxed(boxes, labels):
    """Targets by name, as one structured array."""
    made = np.zeros(len(boxes), [("boxes", np.float32, np.shape(boxes)[1:]), ("labels", np.int64, np.shape(labels)[1:])])
    made["boxes"], made["labels"] = boxes, labels
    return made


FOUND = {
    "boxes": np.array([[[0, 0, 100, 100], [500, 500, 510, 510], [200, 200, 282, 300]]], np.float32),
    "scores": np.array([[[0.9, 0.1], [0.8, 0.1], [0.7, 0.1]]], np.float32),
}
THERE = boxed([[[0, 0, 100, 100], [200, 200, 300, 300], [0, 0, 0, 0]]], [[0, 0, -100]])
ONE_MISS = (51 + 50 * 2 / 3) / 101
"""101 recalls: precision 1 up to a half, then 2 of 3; the second box has an IoU of 0.82, so 3 of 10 thresholds miss it."""

BY_HAND = {
    "top1": (SCORES, LABELS, 1 / 3, [True, False, False]),
    "top2": (SCORES, LABELS, 1 / 3, [True, False, False]),
    "top3": (SCORES, LABELS, 1 / 3, [True, False, False]),
    "top5": (SCORES, LABELS, 2 / 3, [True, False, True]),
    "top10": (WIDE, TENTH, 1 / 2, [True, False]),
    "f1": (SCORES, LABELS, (0 + 2 * 1 / (1 + 2) + 0) / 3, None),
    "miou": (SCORES, LABELS, (0 + 1 / 2 + 0) / 3, None),
    "mcc": (BOTH, TRUE, (2 * 1 - 1 * 1) / (3 * 3 * 2 * 2) ** 0.5, None),
    "auc": (TWO, np.array([0, 0, 1, 1]), 3 / 4, None),
    "auc-labels": (LABELLED, np.array([[0, 1], [0, 0], [1, 1], [1, 0]], np.float32), (3 / 4 + 0 / 4) / 2, None),
    "perplexity": (PLACES, np.array([[0, 0, -100, -100]]), (2 * 8) ** 0.5, None),
    "wer": (SAID, TOKENS, (2 + 1) / 6, [2 / 3, 1 / 3]),
    "cter": (PATHS, SPOKEN, (1 + 0) / 4, [1 / 2, 0]),
    "mse": (VALUES, WANTED, (0 + 4 + 1 + 9) / 4, [2.0, 5.0]),
    "negative-mse": (VALUES, WANTED, -(0 + 4 + 1 + 9) / 4, None),
    "mae": (VALUES, WANTED, (0 + 2 + 1 + 3) / 4, [1.0, 2.0]),
    "rmse": (VALUES, WANTED, ((0 + 4 + 1 + 9) / 4) ** 0.5, None),
    "r2": (VALUES, WANTED, 1 - 14 / (0 + 0 + 4 + 4), None),
    "f1-micro": (LOGITS, SEVERAL, 2 * 2 / (4 + 1 + 2), None),
    "f1-macro": (LOGITS, SEVERAL, (1 + 0 + 0) / 3, None),
    "agreement": (VALUES, WANTED, 1 / 2, [False, True]),
    "relative-error": (VALUES, WANTED, (2 / 2**0.5 + 1) / 2, [2 / 2**0.5, 1.0]),
    "spearman": ({"output": np.array([1.0, 20.0, 300.0, 4000.0])}, np.array([1.0, 3.0, 2.0, 4.0]), 1 - 6 * 2 / (4 * 15), None),
    "cosine": (ARROWS, np.array([[4.0, 3.0], [0.0, 2.0]]), (24 / 25 + 0) / 2, [24 / 25, 0]),
    "psnr": (IMAGES, np.array([[[0.0, 1.0]], [[0.0, 1.0]]]), (20 + 40) / 2, [20, 40]),
    "ssim": (
        GRAY, BLACK_AND_WHITE, (1e-4 / 0.2501 + 1.0001 / 1.2501) / 2, [1e-4 / 0.2501, 1.0001 / 1.2501],
    ),
    "map": (FOUND, THERE, (7 * ONE_MISS + 3 * 51 / 101) / 10, None),
}  # fmt: skip


def perfect(name):
    """The outputs that are wanted."""
    outputs, targets, *_ = BY_HAND[name]
    if name == "map":
        return {
            "boxes": targets["boxes"],
            "scores": np.eye(2)[np.maximum(targets["labels"], 0)] * (targets["labels"] == 0)[..., None],
        }
    if name == "cter":
        spaced = np.stack([np.zeros_like(targets), np.maximum(targets, 0)], axis=-1).reshape(len(targets), -1)
        return {"output": np.eye(4)[spaced]}
    if METRICS[name].classifies:
        return {"output": 50 * np.eye(outputs["output"].shape[-1], dtype=np.float32)[np.maximum(targets, 0)]}
    return {"output": targets}


def test_the_table_above_covers_every_metric():
    assert set(BY_HAND) == set(METRICS.own())
    assert all(name == metric.name for name, metric in METRICS.items())


@pytest.mark.parametrize("name", BY_HAND)
def test_a_metric_is_the_sum_made_by_hand(name):
    outputs, targets, value, each = BY_HAND[name]
    metric = METRICS[name]
    assert metric.score(outputs, targets) == pytest.approx(value, rel=1e-4)
    if each is None:
        assert metric.per_example is None
        return
    found = metric.per_example(outputs, targets)
    assert found.tolist() == pytest.approx(each, rel=1e-4)
    assert found.mean() == pytest.approx(value, rel=1e-4)
    right = metric.correct(outputs, targets)
    assert (right is None) == (found.dtype != bool)


@pytest.mark.parametrize("name", BY_HAND)
def test_the_direction_is_that_of_better_outputs(name):
    _, targets, value, _ = BY_HAND[name]
    metric, wanted = METRICS[name], perfect(name)
    best = metric.score(wanted, targets)
    assert metric.lost(value, best) > 0 > metric.lost(best, value)
    assert metric.lost(best, best) == 0
    generator = np.random.default_rng(0)
    for scale in (0.01, 1.0, 100.0):
        disturbed = {key: part + scale * generator.normal(size=part.shape) for key, part in wanted.items()}
        assert metric.lost(metric.score(disturbed, targets), best) >= -1e-6


@pytest.mark.parametrize("name", BY_HAND)
def test_a_metric_leaves_outputs_and_targets_as_they_are(name):
    outputs, targets, *_ = BY_HAND[name]
    before, wanted = {key: part.copy() for key, part in outputs.items()}, targets.copy()
    METRICS[name].score(outputs, targets)
    assert all((outputs[key] == part).all() for key, part in before.items())
    assert (targets == wanted).all()


def test_equal_scores_count_in_the_order_of_the_classes():
    outputs, targets = {"output": np.zeros((10, 10), np.float32)}, np.arange(10)
    assert METRICS["top1"].correct(outputs, targets).tolist() == [True] + 9 * [False]
    assert METRICS["top5"].correct(outputs, targets).tolist() == 5 * [True] + 5 * [False]


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_output_that_is_no_number_is_refused(name, bad):
    outputs, targets, *_ = BY_HAND[name]
    broken = {key: part.astype(np.float64) for key, part in outputs.items()}
    next(iter(broken.values())).flat[-1] = bad
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


def test_the_page_of_metrics_says_of_each_what_the_code_does():
    page = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "metrics.md").read_text()
    told = {}
    for line in page.splitlines():
        if line.startswith("| `"):
            names, _, _, better, unit, each, _ = (cell.strip() for cell in line.strip("|").split("|"))
            told |= dict.fromkeys(re.findall(r"`([\w-]+)`", names), (better, unit, each == "yes"))
    assert told == {
        name: (metric.direction, metric.unit, metric.per_example is not None) for name, metric in METRICS.own().items()
    }


def test_others_may_bring_metrics():
    assert isinstance(METRICS, Registry)
    assert METRICS.group == "tightship.metrics"
