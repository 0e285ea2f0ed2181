"""Losses of several outputs, with weights and masks, against sums by hand; and what teachers add to each."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from artifacts.errors import DataError, ModelError
from compress.configs import DistilConfig, TrainConfig
from compress.distillation.distil import distillation_loss
from compress.losses.choice import OutputLoss
from compress.training.batches import as_tensors
from compress.training.losses import task_term
from zoo.named_targets import together

torch.manual_seed(0)
SCORES, BOXES = torch.randn(5, 3), torch.randn(5, 4)
CLASSES, PLACES = torch.tensor([0, 1, 2, 1, 0]), torch.randn(5, 4)
OUT = {"boxes": BOXES, "scores": SCORES}
TARGETS = {"scores": CLASSES, "boxes": PLACES}


class Fixed(nn.Module):
    """Gives what it holds, whatever it is given."""

    def __init__(self, **outputs):
        super().__init__()
        self.outputs = nn.ParameterDict({name: nn.Parameter(value.clone()) for name, value in outputs.items()})

    def forward(self, x):
        return {name: value + 0 * x.sum() for name, value in self.outputs.items()}


def test_every_output_that_has_targets_is_trained():
    by_hand = F.cross_entropy(SCORES, CLASSES) + F.mse_loss(BOXES, PLACES)
    assert torch.allclose(task_term(OUT, TARGETS), by_hand)


def test_each_output_has_its_loss_and_weight():
    loss = TrainConfig(loss={"scores": "cross-entropy", "boxes": {"loss": "huber", "weight": 5}}).loss
    by_hand = F.cross_entropy(SCORES, CLASSES) + 5 * F.huber_loss(BOXES, PLACES)
    assert torch.allclose(task_term(OUT, TARGETS, 0.0, loss), by_hand)
    only = {"boxes": OutputLoss(loss="l1")}
    assert torch.allclose(task_term(OUT, TARGETS, 0.0, only), F.l1_loss(BOXES, PLACES))


def test_several_outputs_may_be_trained_for_the_same_targets():
    auxiliary = torch.randn(5, 3)
    loss = {"scores": OutputLoss(), "auxiliary": OutputLoss(weight=0.3)}
    by_hand = F.cross_entropy(SCORES, CLASSES) + 0.3 * F.cross_entropy(auxiliary, CLASSES)
    assert torch.allclose(task_term({"scores": SCORES, "auxiliary": auxiliary}, CLASSES, 0.0, loss), by_hand)


def test_values_that_a_mask_leaves_out_do_not_count():
    mask = torch.tensor([[True, True, False, False]]).repeat(5, 1)
    named = {"boxes": PLACES, "boxes_mask": mask}
    assert torch.allclose(task_term(OUT, named), F.mse_loss(BOXES[:, :2], PLACES[:, :2]))
    nothing = {"boxes": PLACES, "boxes_mask": torch.zeros_like(mask)}
    assert task_term(OUT, nothing) == 0


def test_a_batch_in_which_no_class_counts_adds_nothing():
    value = task_term({"output": SCORES.clone().requires_grad_()}, torch.full((5,), -100))
    value.backward()
    assert value == 0


@pytest.mark.parametrize(
    ("targets", "loss", "said"),
    [
        ({"scoers": CLASSES}, None, "no such output"),
        (TARGETS, {"box": OutputLoss()}, "'boxes'"),
        ({"scores": CLASSES}, {"boxes": OutputLoss()}, "has no targets"),
        ({"boxes": CLASSES.float()}, None, "output 'boxes'"),
    ],
)
def test_what_has_no_partner_is_refused(targets, loss, said):
    with pytest.raises(DataError, match=said):
        task_term(OUT, targets, 0.0, loss)


@pytest.mark.parametrize(("loss", "said"), [({"a": "cosine"}, "compares with a teacher"), ({}, "names no output")])
def test_losses_that_cannot_be_are_refused_as_they_are_read(loss, said):
    with pytest.raises(ValueError, match=said):
        TrainConfig(loss=loss)


def test_a_loss_of_ones_own_is_given_all_outputs_and_targets(tmp_path, monkeypatch):
    (tmp_path / "our_losses.py").write_text(
        "def both(outputs, targets):\n    return outputs['boxes'].square().mean() + targets['scores'].sum()\n"
        "def many(outputs, targets):\n    return outputs['boxes']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert torch.allclose(task_term(OUT, TARGETS, 0.0, "our_losses:both"), BOXES.square().mean() + 4)
    with pytest.raises(ModelError, match=r"must return one number"):
        task_term(OUT, TARGETS, 0.0, "our_losses:many")


def distilled(student, teacher, targets, **options):
    loss = distillation_loss(teacher, 1.0, 2.0, **options)
    return loss(student, {"x": torch.zeros(5)}, targets)


def test_each_output_is_taught_by_its_kind():
    student, teacher = Fixed(**OUT), Fixed(boxes=BOXES + 1, scores=SCORES.roll(1, 1))
    wanted = F.log_softmax(SCORES.roll(1, 1) / 2, 1)
    soft = 4 * F.kl_div(F.log_softmax(SCORES / 2, 1), wanted, log_target=True, reduction="batchmean")
    assert torch.allclose(distilled(student, teacher, TARGETS), soft + 1, atol=1e-6)
    weighted = {"scores": OutputLoss(weight=2), "boxes": OutputLoss(weight=3)}
    assert torch.allclose(distilled(student, teacher, TARGETS, loss=weighted), 2 * soft + 3, atol=1e-6)
    chosen = DistilConfig(output_loss={"boxes": "l1"}).output_loss
    assert torch.allclose(
        distilled(student, Fixed(boxes=BOXES + 3, scores=SCORES), TARGETS, output_loss=chosen), torch.tensor(3.0)
    )


def test_classes_are_softened_along_their_own_axis():
    """(N, T, C): a softmax over positions would find no difference here, where every position differs alike."""
    ours, theirs, tags = torch.zeros(5, 4, 3), torch.randn(5, 1, 3).repeat(1, 4, 1), torch.zeros(5, 4, dtype=torch.long)
    p, q = (theirs / 2).softmax(-1), (ours / 2).softmax(-1)
    by_hand = 4 * (p * (p / q).log()).sum(-1).mean()
    assert torch.allclose(distilled(Fixed(tags=ours), Fixed(tags=theirs), tags), by_hand, atol=1e-6)


def test_positions_that_do_not_count_are_not_taught():
    ours, theirs, tags = torch.randn(5, 4, 3), torch.randn(5, 4, 3), torch.zeros(5, 4, dtype=torch.long)
    tags[:, 2:] = -100
    cut = distilled(Fixed(tags=ours[:, :2]), Fixed(tags=theirs[:, :2]), tags[:, :2])
    assert torch.allclose(distilled(Fixed(tags=ours), Fixed(tags=theirs), tags), cut, atol=1e-6)
    values = {"v": torch.zeros(5, 4, 3), "v_mask": (tags >= 0)}
    cut = F.mse_loss(ours[:, :2], theirs[:, :2])
    assert torch.allclose(distilled(Fixed(v=ours), Fixed(v=theirs), values), cut, atol=1e-6)


def test_outputs_without_targets_follow_the_teacher_whichever_they_are():
    student, teacher = Fixed(**OUT), Fixed(boxes=BOXES + 1, scores=SCORES)
    by_hand = 1 / BOXES.var(correction=0)
    assert torch.allclose(distilled(student, teacher, {"scores": CLASSES}), by_hand, atol=1e-5)


def test_targets_by_name_become_tensors_by_name():
    made = as_tensors(together({"a": np.arange(3), "b": np.ones((3, 2), np.float32)}))
    assert {name: tuple(value.shape) for name, value in made.items()} == {"a": (3,), "b": (3, 2)}


def test_a_network_that_reads_aloud_is_taught_step_by_step():
    ours, theirs, symbols = torch.randn(2, 6, 4), torch.randn(2, 6, 4), torch.tensor([[1, 3, -100], [2, -100, -100]])
    p, q = (theirs / 2).softmax(-1), (ours / 2).softmax(-1)
    by_hand = 4 * (p * (p / q).log()).sum(-1).mean()
    assert torch.allclose(distilled(Fixed(said=ours), Fixed(said=theirs), symbols, loss="ctc"), by_hand, atol=1e-5)
