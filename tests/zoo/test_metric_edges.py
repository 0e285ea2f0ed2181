"""What metrics make of data at the edge: one class only, nothing that counts, ties, other layouts, missing names."""

import builtins
import time

import numpy as np
import pytest
from sklearn.metrics import f1_score, jaccard_score, matthews_corrcoef, roc_auc_score

from artifacts.errors import DataError, TargetUnavailable
from zoo.metrics import METRICS
from zoo.metrics.auc import log_odds
from zoo.metrics.edit_distance import Tokens, distances

CLASSIFYING = [name for name, metric in METRICS.own().items() if metric.classifies]


@pytest.fixture
def scores():
    """Scores of five classes for 200 examples, and class numbers."""
    generator = np.random.default_rng(0)
    return {"output": generator.normal(size=(200, 5))}, generator.integers(0, 5, 200)


@pytest.mark.parametrize("name", CLASSIFYING)
def test_targets_of_which_none_counts_are_refused(name):
    with pytest.raises(DataError, match="no target counts: every class number is -100"):
        METRICS[name].score({"output": np.ones((1, 4, 3))}, np.full((1, 4), -100))


@pytest.mark.parametrize("name", CLASSIFYING)
def test_where_the_classes_lie_and_what_does_not_count_change_nothing(name):
    generator = np.random.default_rng(1)
    last, targets = generator.normal(size=(6, 7, 5)), generator.integers(0, 5, (6, 7))
    metric = METRICS[name]
    value = metric.score({"output": last}, targets)
    assert metric.score({"output": np.moveaxis(last, 2, 1)}, targets) == pytest.approx(value)
    longer = np.concatenate([targets, np.full((6, 2), -100)], axis=1)
    more = np.concatenate([last, generator.normal(size=(6, 2, 5))], axis=1)
    assert metric.score({"output": more}, longer) == pytest.approx(value)
    assert metric.score({"output": last.astype(np.float16).astype(np.float64)}, targets.astype(np.int16)) == pytest.approx(
        value, abs=0.05
    )


def test_class_figures_are_those_of_scikit_learn(scores):
    outputs, targets = scores
    said = outputs["output"].argmax(axis=1)
    assert METRICS["f1"].score(outputs, targets) == pytest.approx(f1_score(targets, said, average="macro"))
    assert METRICS["miou"].score(outputs, targets) == pytest.approx(jaccard_score(targets, said, average="macro"))
    assert METRICS["mcc"].score(outputs, targets) == pytest.approx(matthews_corrcoef(targets, said))


def test_the_area_is_that_of_scikit_learn(scores):
    outputs, targets = scores
    chances = np.exp(outputs["output"])
    chances /= chances.sum(axis=1, keepdims=True)
    wanted = roc_auc_score(targets, chances, multi_class="ovr")
    assert METRICS["auc"].score(outputs, targets) == pytest.approx(wanted)
    assert METRICS["auc"].score({"output": chances}, targets) == pytest.approx(wanted)
    few, yes = {"output": np.round(outputs["output"], 1)}, (np.arange(1000).reshape(200, 5) * 7 % 3 == 0).astype(np.float32)
    assert METRICS["auc-labels"].score(few, yes) == pytest.approx(roc_auc_score(yes, few["output"], average="macro"))
    column = {"output": few["output"][:, :1]}
    assert METRICS["auc-labels"].score(column, yes[:, 0]) == pytest.approx(roc_auc_score(yes[:, 0], column["output"][:, 0]))


def test_certain_logits_keep_their_order():
    logits = np.array([[0.0, 50.0], [0.0, 60.0], [0.0, 900.0], [-3e5, 3e5]])
    assert (np.diff(log_odds(logits)[:, 1]) > 0).all(), "their softmax is 1 throughout"
    assert log_odds(logits)[:, 1] == pytest.approx([50, 60, 900, 6e5])
    assert METRICS["auc"].score({"output": logits}, np.array([0, 0, 1, 1])) == 1


def test_many_scores_are_ranked_part_by_part(scores, monkeypatch):
    outputs, targets = scores
    whole = METRICS["auc"].score(outputs, targets), METRICS["perplexity"].score(outputs, targets)
    for module in ("auc", "perplexity"):
        monkeypatch.setattr(f"zoo.metrics.{module}.MOST", 37)
    assert (METRICS["auc"].score(outputs, targets), METRICS["perplexity"].score(outputs, targets)) == pytest.approx(whole)


def test_a_class_that_is_missing_from_a_resample_is_left_out(scores):
    outputs, targets = scores
    some = targets != 4
    here = {"output": outputs["output"][some]}
    areas = [roc_auc_score(targets[some] == n, log_odds(here["output"])[:, n]) for n in range(4)]
    assert METRICS["auc"].score(here, targets[some]) == pytest.approx(np.mean(areas))


@pytest.mark.parametrize("name", ["auc", "mcc"])
def test_targets_of_one_class_are_refused(name):
    with pytest.raises(DataError, match=f"'{name}' needs targets of two classes, and all are of class 2"):
        METRICS[name].score({"output": np.eye(3)}, np.full(3, 2))


def test_labels_that_never_differ_are_refused():
    with pytest.raises(DataError, match="'auc-labels' needs a label that is true of some examples and not of others"):
        METRICS["auc-labels"].score({"output": np.ones((3, 2))}, np.array([[0.0, 1.0]] * 3))


def test_one_column_of_scores_names_the_metric_that_takes_it():
    with pytest.raises(DataError, match=r"class 1, and the network has one score for it.*`metric` to one of labels"):
        METRICS["auc"].score({"output": np.ones((3, 1))}, np.array([0, 1, 1]))


def test_a_network_that_always_says_the_same_has_no_correlation():
    assert METRICS["mcc"].score({"output": np.tile([0.0, 1.0], (4, 1))}, np.array([0, 1, 1, 0])) == 0
    assert METRICS["spearman"].score({"output": np.ones(4)}, np.arange(4.0)) == 0


def test_many_classes_make_no_table_of_all_pairs():
    outputs = {"output": np.broadcast_to(np.float32(0), (2, 100_000))}
    began = time.perf_counter()
    for name in ("f1", "miou", "mcc"):
        METRICS[name].score(outputs, np.array([0, 99_999]))
    assert time.perf_counter() - began < 5
    assert METRICS["f1"].score(outputs, np.array([0, 99_999])) == pytest.approx((2 / 3 + 0) / 2)


def test_perplexity_takes_no_probabilities_and_says_what_is_too_large():
    with pytest.raises(DataError, match="needs logits or log-probabilities, and the outputs are probabilities"):
        METRICS["perplexity"].score({"output": np.full((3, 4), 0.25)}, np.arange(3))
    with pytest.raises(DataError, match="'perplexity' is inf over 1 examples"):
        METRICS["perplexity"].score({"output": np.array([[1e4, 0.0]])}, np.array([1]))
    assert METRICS["perplexity"].score({"output": np.zeros((3, 7))}, np.arange(3)) == pytest.approx(7)


def slow_distance(one, other):
    """By the definition."""
    if not one or not other:
        return len(one) + len(other)
    return min(
        slow_distance(one[1:], other) + 1,
        slow_distance(one, other[1:]) + 1,
        slow_distance(one[1:], other[1:]) + (one[0] != other[0]),
    )


def test_edit_distances_are_those_of_the_definition():
    generator = np.random.default_rng(0)
    pairs = [tuple(generator.integers(0, 3, generator.integers(0, 6)).tolist() for _ in range(2)) for _ in range(60)]

    def tokens(rows):
        lengths = np.array([len(row) for row in rows])
        numbers = generator.integers(0, 3, (len(rows), max(lengths)))
        for at, row in enumerate(rows):
            numbers[at, : len(row)] = row
        return Tokens(numbers, lengths)

    found = distances(*(tokens(side) for side in zip(*pairs, strict=True)))
    assert found.tolist() == [slow_distance(*pair) for pair in pairs]


def test_an_example_without_tokens_counts_what_is_said():
    path = {"output": np.eye(4)[[[1, 2, 3], [0, 0, 0], [1, 1, 1]]]}
    targets = np.array([[-100], [-100], [1]])
    assert METRICS["cter"].per_example(path, targets).tolist() == [3, 0, 0]
    assert METRICS["cter"].score(path, targets) == 3, "above 1"


@pytest.mark.parametrize(
    ("targets", "says"),
    [
        (np.array([[0, 1]]), "hold class 0: of 4 classes 0 is the blank"),
        (np.array([[4, 1]]), "hold class 4"),
        (np.array([[-1, 1]]), "hold class -1"),
        (np.array([[1.0, 2.0]]), r"needs outputs \(N, steps, classes\) and class numbers \(N, T\).*float64 \(N, 2\)"),
        (np.array([1]), r"these are \(N, 3, 4\) and int64 \(N,\)"),
        (np.array([[-100, -100]]), "no target counts"),
    ],
)
def test_what_ctc_cannot_be_scored_against_is_refused(targets, says):
    with pytest.raises(DataError, match=says):
        METRICS["cter"].score({"output": np.ones((1, 3, 4))}, targets)


def test_tokens_of_pictures_are_refused():
    with pytest.raises(DataError, match=r"'wer' needs tokens \(N, T\) as targets, and the data's are \(N, 3, 3\)"):
        METRICS["wer"].score({"output": np.ones((2, 5, 3, 3))}, np.zeros((2, 3, 3), int))


def test_rank_correlation_is_of_each_value_and_leaves_out_what_never_differs():
    outputs = np.array([[1.0, 4.0, 0.0], [2.0, 3.0, 0.0], [9.0, 2.0, 7.0]])
    targets = np.array([[1.0, 1.0, 5.0], [2.0, 2.0, 5.0], [3.0, 3.0, 5.0]])
    assert METRICS["spearman"].score({"output": outputs}, targets) == pytest.approx((1 - 1) / 2)
    with pytest.raises(DataError, match="'spearman' needs targets that differ"):
        METRICS["spearman"].score({"output": outputs[:, 0]}, np.ones(3))


def test_vectors_without_length_have_no_direction():
    assert METRICS["cosine"].score({"output": np.array([[0.0, 0.0], [2.0, 0.0]])}, np.array([[1.0, 1.0], [3.0, 0.0]])) == 0.5


def test_images_are_held_against_the_range_of_the_targets():
    generator = np.random.default_rng(0)
    wanted = generator.random((3, 3, 16, 16))
    found = wanted + 0.05 * generator.normal(size=wanted.shape)
    for name in ("psnr", "ssim"):
        metric = METRICS[name]
        value = metric.score({"output": found}, wanted)
        assert metric.score({"output": 255 * found}, 255 * wanted) == pytest.approx(value, rel=1e-5)
        with pytest.raises(DataError, match="all targets are 1, so their range"):
            metric.score({"output": found}, np.ones_like(wanted))
        for odd in (np.nan, np.inf):
            with pytest.raises(DataError, match="the targets hold NaN or infinite values"):
                metric.score({"output": found}, np.where(wanted == wanted.max(), odd, wanted))
    assert METRICS["psnr"].score({"output": wanted}, wanted) == pytest.approx(144.49, abs=0.01)
    assert METRICS["ssim"].score({"output": wanted}, wanted) == pytest.approx(1)
    gray = METRICS["ssim"].score({"output": found[:, 0]}, wanted[:, 0])
    assert gray == pytest.approx(METRICS["ssim"].score({"output": found[:, :1]}, wanted[:, :1]))


def test_ssim_far_from_zero_is_as_exact_as_near_it():
    generator = np.random.default_rng(0)
    wanted = generator.random((2, 1, 16, 16))
    found = wanted + 0.05 * generator.normal(size=wanted.shape)
    far = METRICS["ssim"].score({"output": found + 1e4}, wanted + 1e4)
    assert far == pytest.approx(METRICS["ssim"].score({"output": found + 3}, wanted + 3), rel=1e-3)


@pytest.mark.parametrize("shape", [(4, 5), (4, 3, 16, 5), (4, 16, 16, 3), (4, 2, 8, 8, 8)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(DataError, match=r"'ssim' needs images \(N, C, H, W\) or \(N, H, W\) of 6 by 6 pixels or more"):
        METRICS["ssim"].score({"output": np.ones(shape)}, np.ones(shape))


def boxed(**fields):
    """Targets by name, as one structured array."""
    parts = {name: np.asarray(value) for name, value in fields.items()}
    count = len(next(iter(parts.values())))
    made = np.zeros(count, [(name, value.dtype, value.shape[1:]) for name, value in parts.items()])
    for name, value in parts.items():
        made[name] = value
    return made


BOXES = np.array([[[0.0, 0.0, 0.5, 0.5]], [[0.1, 0.1, 0.4, 0.9]], [[0.0, 0.0, 1.0, 1.0]]])
CERTAIN = np.array([[[9.0, -9.0]], [[-9.0, 9.0]], [[-9.0, -9.5]]])


def average(found=BOXES, scores=CERTAIN, **fields):
    """The metric of these outputs against the boxes above, or others."""
    targets = boxed(**({"boxes": BOXES, "labels": [[0], [1], [-100]]} | fields))
    return METRICS["map"].score({"scores": scores, "more": np.ones(3), "boxes": found}, targets)


def test_boxes_are_found_by_name_and_a_box_too_many_that_scores_least_costs_nothing():
    assert average() == pytest.approx(1)
    assert average(scores=CERTAIN[:, :, ::-1]) == 0
    assert average(BOXES[:, :, [2, 3, 0, 1]]) == 0, "turned inside out they have no area"


def test_a_false_box_that_scores_most_halves_the_precision_of_its_class():
    third = np.array([[[9.0, -9.0]], [[-9.0, 9.0]], [[10.0, -9.5]]])
    assert average(scores=third) == pytest.approx((1 / 2 + 1) / 2)


def test_only_the_hundred_best_boxes_of_an_image_count():
    boxes = np.tile(np.array([0.7, 0.7, 0.8, 0.8]), (3, 120, 1))
    boxes[:, -1] = BOXES[:, 0]
    scores = np.linspace(1, 0.5, 120)[None, :, None] * np.array([[[1.0, 0.0]], [[0.0, 1.0]], [[1.0, 0.0]]])
    assert average(boxes, scores) == 0, "the right ones are the last of 120"
    assert average(boxes[:, 30:], scores[:, 30:]) > 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labels": [[-100]] * 3}, "needs a box in some image"),
        ({"labels": [[0], [2], [-100]]}, "hold class 2, and the network tells 2 classes apart"),
        ({"labels": [[0], [-1], [-100]]}, "hold class -1"),
        ({"labels": [[0.0], [1.0], [1.0]]}, r"class numbers `labels` \(N, M\).*float64"),
        ({"labels": [0, 1, 1]}, r"int64 \(N,\)"),
        ({"boxes": BOXES[:2], "labels": [[0], [1]]}, r"for 3 examples.*for 2"),
        ({"boxes": BOXES[:, :, [2, 3, 0, 1]]}, r"the box \[0\.5, 0\.5, 0\.0, 0\.0\] of example 0 has no area"),
        ({"boxes": BOXES * [1, 1, 1, np.nan]}, "has no area"),
    ],
)
def test_boxes_that_cannot_be_scored_against_are_refused(change, says):
    with pytest.raises(DataError, match=says):
        average(**change)


@pytest.mark.parametrize(
    ("found", "scores", "says"),
    [
        (BOXES[:, 0], CERTAIN, r"needs outputs `boxes` \(N, Q, 4\).*\(N, 4\) and \(N, 1, 2\)"),
        (BOXES, CERTAIN[:, 0], "needs outputs"),
        (np.tile(BOXES, (1, 2, 1)), CERTAIN, "needs outputs"),
        (BOXES[:, :0], CERTAIN[:, :0], "needs outputs"),
        (BOXES * np.nan, CERTAIN, "output 'boxes' holds values that are NaN"),
    ],
)
def test_boxes_that_cannot_be_scored_are_refused(found, scores, says):
    with pytest.raises(DataError, match=says):
        average(found, scores)


def test_names_that_are_missing_are_told():
    targets = boxed(boxes=BOXES, labels=[[0], [1], [1]])
    with pytest.raises(DataError, match="needs the output `scores`, and the outputs are boxes, logits"):
        METRICS["map"].score({"boxes": BOXES, "logits": CERTAIN}, targets)
    with pytest.raises(DataError, match="needs the target `labels`, and the targets are boxes"):
        METRICS["map"].score({"boxes": BOXES, "scores": CERTAIN}, boxed(boxes=BOXES))
    with pytest.raises(DataError, match="needs the target `boxes`, and the targets are without names"):
        METRICS["map"].score({"boxes": BOXES, "scores": CERTAIN}, np.zeros(3, int))


def test_boxes_without_their_library_are_refused_with_the_way_out(monkeypatch):
    real = builtins.__import__

    def missing(name, *arguments, **more):
        if name.startswith("pycocotools"):
            raise ImportError(name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(TargetUnavailable, match=r"needs pycocotools; pip install 'tightship\[detection\]'"):
        average()


def test_the_evaluation_prints_nothing(capsys):
    average()
    assert capsys.readouterr() == ("", "")
