"""Losses by name: what each computes, which a recipe may name where, and that others may bring theirs."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import nn

from artifacts.errors import DataError, ModelError
from compress.configs import DistilConfig, PruneConfig, TrainConfig
from compress.losses import LOSSES, LossTerm, usual_task, usual_teaching
from compress.training.batches import Mixed
from compress.training.holdout import score_of
from compress.training.loop import Training, fit, predict_all, task_loss
from compress.training.loop import task_term as term_of_outputs
from compress.training.losses import teaching_term
from zoo.metrics import METRICS
from zoo.splits import ArraySplit

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 1.0, 3.0]])
CLASSES, VALUES = torch.tensor([0, 1]), torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 1.0]])


def task_term(outputs, targets, *given, **named):
    """Of a network with one output."""
    return term_of_outputs({"output": outputs}, targets, *given, **named)


def test_the_usual_losses_are_those_of_the_targets():
    assert torch.equal(task_term(LOGITS, CLASSES), F.cross_entropy(LOGITS, CLASSES))
    assert torch.equal(task_term(LOGITS, CLASSES, 0.1), F.cross_entropy(LOGITS, CLASSES, label_smoothing=0.1))
    assert torch.equal(task_term(LOGITS, VALUES), F.mse_loss(LOGITS, VALUES))
    assert task_term(LOGITS, VALUES, loss="mse") == task_term(LOGITS, VALUES)
    assert {usual_task(False), usual_task(True), usual_teaching(False), usual_teaching(True)} == {"cross-entropy", "mse", "kl"}
    for real in (False, True):
        assert LOSSES[usual_task(real)].task
        assert LOSSES[usual_teaching(real)].teaching


def test_named_losses_are_the_sums_made_by_hand():
    found, wanted = torch.tensor([[0.5], [3.0]]), torch.tensor([0.0, 0.0])
    assert task_term(found, wanted, loss="l1") == pytest.approx((0.5 + 3) / 2)
    assert task_term(found, wanted, loss="huber") == pytest.approx((0.5**2 / 2 + 3 - 0.5) / 2)
    several = torch.tensor([[0.0, 2.0]]), torch.tensor([[1, 0]])
    assert task_term(*several, loss="bce") == pytest.approx((math.log(2) + math.log(1 + math.exp(2))) / 2)
    assert task_term(*several, label_smoothing=1.0, loss="bce") == pytest.approx(
        (math.log(2) + math.log(1 + math.exp(2)) - 1) / 2
    )
    teachers, weights = [VALUES, -VALUES], [0.75, 0.25]
    assert torch.allclose(teaching_term("l1", True)(LOGITS, teachers, weights, 1.0), F.l1_loss(LOGITS, 0.5 * VALUES))
    own = teaching_term("bce", True)(LOGITS, [LOGITS], [1.0], 2.0)
    assert own < teaching_term("bce", True)(LOGITS, [-LOGITS], [1.0], 2.0)


@pytest.mark.parametrize("name", ["mse", "l1", "huber", "bce"])
def test_values_do_not_broadcast(name):
    with pytest.raises(DataError, match="not value by value the same"):
        task_term(torch.zeros(4, 1), torch.zeros(4, 4), loss=name)


@pytest.mark.parametrize("last", [False, True])
def test_classes_at_positions_are_trained_along_either_axis_and_ignored_ones_are_not(last):
    logits, classes = torch.randn(2, 5, 3), torch.tensor([[0, 4, -100], [2, -100, -100]])
    counted = [F.cross_entropy(logits[i, :, j][None], classes[i, j][None]) for i, j in ((0, 0), (0, 1), (1, 0))]
    assert task_term(logits.movedim(1, 2) if last else logits, classes) == pytest.approx(float(sum(counted) / 3))


def test_divergence_from_probabilities_is_the_sum_by_hand():
    wanted = torch.tensor([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    logs = LOGITS.log_softmax(1)
    by_hand = (wanted * (wanted.clamp_min(1e-30).log() - logs)).sum(1).mean()
    assert task_term(LOGITS, wanted, loss="kl") == pytest.approx(float(by_hand), rel=1e-5)


def test_sequences_shorter_than_outputs_are_every_way_of_saying_them():
    """Three steps, symbol 1 alone: 1__ _1_ __1 11_ _11 111, as probabilities."""
    p = torch.tensor([[0.6, 0.4], [0.3, 0.7], [0.2, 0.8]])
    blank, one = p[:, 0], p[:, 1]
    ways = sum((one if a else blank)[0] * (one if b else blank)[1] * (one if c else blank)[2]
               for a, b, c in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 1, 1)))  # fmt: skip
    found = task_term(p.log()[None], torch.tensor([[1, -100]]), loss="ctc")
    assert float(found) == pytest.approx(-math.log(float(ways)), rel=1e-5)
    with pytest.raises(DataError, match="symbol 0"):
        task_term(p.log()[None], torch.tensor([[0, 1]]), loss="ctc")
    with pytest.raises(DataError, match=r"needs outputs \(N, T, classes\)"):
        task_term(LOGITS, torch.tensor([[1], [1]]), loss="ctc")


def test_several_labels_are_learned_and_scored():
    torch.manual_seed(0)
    x = torch.randn(256, 4)
    targets = torch.stack([x[:, 0] > 0, x[:, 1] + x[:, 2] > 0, x[:, 3] > 1], 1).float()
    split = ArraySplit({"input": x.numpy()}, targets.numpy())
    module = nn.Linear(4, 3)
    before = METRICS["f1-macro"].score(predict_all(module, split), split.targets)
    fit(module, task_loss(loss="bce"), Training(split, TrainConfig(epochs=40, learning_rate=0.5, loss="bce"), 0))
    after = METRICS["f1-macro"].score(predict_all(module, split), split.targets)
    assert after > max(0.9, before)


def test_teachers_are_compared_with_by_name():
    teachers, weights = [VALUES, -VALUES], [0.75, 0.25]
    assert torch.allclose(teaching_term("mse", False)(LOGITS, teachers, weights, 4.0), F.mse_loss(LOGITS, 0.5 * VALUES))
    assert teaching_term(None, True) is teaching_term("mse", True)
    assert teaching_term("kl", False)(LOGITS, [LOGITS], [1.0], 4.0) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ModelError, match="'cross-entropy' compares with targets, not with a teacher"):
        teaching_term("cross-entropy", False)


@pytest.mark.parametrize(
    ("loss", "targets", "said"),
    [("mse", CLASSES, "needs targets that are values, and the data's targets are classes"),
     ("cross-entropy", VALUES, "needs targets that are classes"), ("cosine", CLASSES, "needs a teacher")],
)  # fmt: skip
def test_targets_of_another_kind_are_refused_in_one_sentence(loss, targets, said):
    with pytest.raises(DataError, match=said):
        task_term(LOGITS, targets, loss=loss)


def test_a_recipe_names_a_loss_where_it_can_be_used():
    assert TrainConfig(loss="mse").loss == "mse"
    for config in (TrainConfig, DistilConfig):
        with pytest.raises(ValidationError, match="'cosine' compares with a teacher, not with targets; use cross-entropy, mse"):
            config(loss="cosine")
    with pytest.raises(ValidationError, match=r"'cross-entropy' compares with targets, .*; use mse, l1, bce, kl, cosine"):
        DistilConfig(output_loss="cross-entropy")
    with pytest.raises(ValidationError, match="unknown loss 'cosin'; did you mean 'cosine'"):
        DistilConfig(output_loss="cosin")
    assert PruneConfig(macs=0.5, loss="mse").training(3).loss == "mse"
    shown = DistilConfig.model_json_schema()["properties"]["output_loss"]["anyOf"][0]
    assert shown["enum"] == list(LOSSES)


@pytest.fixture
def hinge(monkeypatch):
    """A loss of another distribution: the squared hinge of one class against the rest."""

    def squared_hinge(outputs, targets, label_smoothing):
        signs = 2 * F.one_hot(targets, outputs.shape[1]) - 1
        return (1 - signs * outputs).clamp_min(0).square().mean()

    monkeypatch.setattr(LOSSES, "_brought", {})
    LOSSES.add(LossTerm("squared-hinge", squared_hinge, targets="classes"))
    return squared_hinge


def test_a_loss_of_somebody_else_is_what_training_minimizes(hinge, digits, tiny):
    assert task_term(LOGITS, CLASSES, loss="squared-hinge") == hinge(LOGITS, CLASSES, 0.0)
    mixed = Mixed(CLASSES, 1 - CLASSES, torch.tensor(0.25))
    by_hand = 0.25 * hinge(LOGITS, CLASSES, 0.0) + 0.75 * hinge(LOGITS, 1 - CLASSES, 0.0)
    assert torch.allclose(task_term(LOGITS, mixed, loss="squared-hinge"), by_hand)
    config = TrainConfig(epochs=2, loss="squared-hinge", samples=256, holdout=0.2, learning_rate=0.02)
    chosen = torch.arange(64).numpy()
    module = copy.deepcopy(tiny.module)
    before = score_of(module, digits.train, chosen, named=config.loss).loss
    fit(module, task_loss(loss=config.loss), Training(digits.train, config, 0))
    assert score_of(module, digits.train, chosen, named=config.loss).loss < before


def test_a_loss_compares_with_something():
    with pytest.raises(ValueError, match="'idle' compares with neither targets nor teachers"):
        LossTerm("idle")
