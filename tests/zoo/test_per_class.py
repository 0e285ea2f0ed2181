"""The figures of each class are those counted by hand, and stay small however many classes there are."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from artifacts.json import read
from artifacts.records.per_class import ClassRecord, ConfusionRecord, PerClassRecord
from zoo.metrics import METRICS
from zoo.metrics.per_class import per_class

TRUE = np.array([0, 0, 0, 1, 1, 1])
SAID = {"output": np.eye(4)[[0, 0, 1, 1, 1, 3]]}
BY_HAND = PerClassRecord(
    4, 6,
    (
        ClassRecord(0, 3, 2, 2 / 2, 2 / 3, 2 * 2 / (3 + 2), 2 / 3),
        ClassRecord(1, 3, 3, 2 / 3, 2 / 3, 2 * 2 / (3 + 3), 2 / 4),
        ClassRecord(2, 0, 0, None, None, None, None),
        ClassRecord(3, 0, 1, 0.0, None, 0.0, 0.0),
    ),
    (ConfusionRecord(0, 1, 1), ConfusionRecord(1, 3, 1)),
    ((2, 1, 0, 0), (0, 2, 0, 1), (0, 0, 0, 0), (0, 0, 0, 0)),
)  # fmt: skip


def test_the_figures_are_those_counted_by_hand():
    assert per_class(METRICS["top1"], SAID, TRUE) == BY_HAND


def test_the_record_reads_back_from_json():
    found = per_class(METRICS["top1"], SAID, TRUE)
    assert read(PerClassRecord, json.loads(json.dumps(asdict(found), allow_nan=False))) == found


def test_positions_count_each_and_ignored_ones_do_not():
    targets = np.array([[0, 0, 0, 1, -100], [1, 1, -100, -100, -100]])
    scores = np.zeros((2, 5, 4))
    scores[0, :4] = SAID["output"][:4]
    scores[1, :2] = SAID["output"][4:]
    for outputs in ({"output": scores}, {"output": np.moveaxis(scores, 2, 1)}):
        assert per_class(METRICS["top1"], outputs, targets) == BY_HAND


def test_figures_are_those_of_scikit_learn_at_random():
    generator = np.random.default_rng(0)
    scores, true = generator.normal(size=(500, 12)), generator.integers(0, 12, 500)
    found = per_class(METRICS["top5"], {"output": scores}, true)
    said = scores.argmax(axis=1)
    precision, recall, f1, support = precision_recall_fscore_support(true, said)
    for name, wanted in (("precision", precision), ("recall", recall), ("f1", f1), ("support", support)):
        assert [getattr(one, name) for one in found.figures] == pytest.approx(wanted.tolist())
    table = confusion_matrix(true, said)
    assert np.array_equal(found.counts, table)
    off = np.where(np.eye(12, dtype=bool), 0, table)
    assert [one.count for one in found.confusions] == sorted(off[off > 0].tolist(), reverse=True)[:20]
    assert all(table[one.target, one.answer] == one.count for one in found.confusions)


def test_a_task_of_values_has_none():
    assert per_class(METRICS["mae"], {"output": np.ones(3)}, np.ones(3)) is None
    named = np.zeros(3, [("a", np.int64), ("b", np.int64)])
    assert per_class(METRICS["top1"], SAID, named) is None


def test_fifty_thousand_classes_make_a_small_record():
    classes = 50_000
    true = np.repeat(np.arange(classes - 4, classes), 3)
    outputs = {"output": np.zeros((12, classes), np.float32)}
    outputs["output"][np.arange(12), np.where(np.arange(12) < 9, true, 7)] = 1
    found = per_class(METRICS["top1"], outputs, true)
    assert found.counts is None
    assert found.confusions == (ConfusionRecord(classes - 1, 7, 3),)
    assert len(found.figures) == 1000
    assert [one.number for one in found.figures[-4:]] == list(range(classes - 4, classes))
    assert len(json.dumps(asdict(found))) < 200_000


def test_the_same_targets_choose_the_same_classes():
    generator = np.random.default_rng(0)
    true = generator.integers(0, 3000, 2000)
    one, other = (
        per_class(METRICS["top1"], {"output": generator.normal(size=(2000, 3000)).astype(np.float32)}, true) for _ in range(2)
    )
    assert [a.number for a in one.figures] == [b.number for b in other.figures]
    assert replace(one, figures=(), confusions=()) == replace(other, figures=(), confusions=())
