"""Mixup and CutMix: the caller's batch stays whole, the soft targets are the right ones, the teacher sees the mixture."""

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.errors import DataError
from compress.configs import TrainConfig
from compress.distillation.distil import distillation_loss
from compress.training.loop import Mixed, Training, fit, task_loss, task_term
from compress.training.mixing import mix


@pytest.fixture
def batch():
    """Twelve images, each of one gray value that no other has, and their classes."""
    images = torch.arange(12.0)[:, None, None, None].expand(12, 2, 8, 8).clone()
    return {"image": images}, torch.arange(12) % 5


@pytest.mark.parametrize(("mixup", "cutmix"), [(1.0, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_mixing_leaves_the_callers_batch_alone(batch, mixup, cutmix):
    inputs, targets = batch
    kept, classes = inputs["image"].clone(), targets.clone()
    for seed in range(8):
        torch.manual_seed(seed)
        made, _ = mix(inputs, targets, mixup, cutmix)
        assert made["image"].data_ptr() != inputs["image"].data_ptr()
    assert torch.equal(inputs["image"], kept)
    assert torch.equal(targets, classes)


def test_mixup_blends_pixels_and_targets_by_the_same_share(batch):
    inputs, targets = batch
    torch.manual_seed(1)
    made, mixed = mix(inputs, targets, 1.0, 0.0)
    assert isinstance(mixed, Mixed)
    values = made["image"][:, 0, 0, 0]
    partners = ((values - mixed.share * torch.arange(12)) / (1 - mixed.share)).round().long()
    assert sorted(partners.tolist()) == list(range(12))
    assert torch.equal(mixed.second, targets[partners])
    assert torch.allclose(values, mixed.share * torch.arange(12) + (1 - mixed.share) * partners)


def test_cutmix_counts_the_pixels_that_it_really_pasted(batch):
    inputs, targets = batch
    shares = set()
    for seed in range(20):
        torch.manual_seed(seed)
        made, mixed = mix(inputs, targets, 0.0, 1.0)
        own = made["image"] == inputs["image"]
        moved = [i for i in range(12) if not own[i].all()]
        shares.add(round(mixed.share.item(), 4))
        assert all(own[i].double().mean().item() == pytest.approx(mixed.share.item(), abs=1e-6) for i in moved)
        assert set(made["image"].unique().tolist()) <= set(range(12)), "a pasted pixel is another image's, untouched"
    assert len(shares) > 5
    assert all(0 <= share <= 1 for share in shares)


def test_mixed_targets_cost_what_the_soft_distribution_costs():
    outputs, first, second = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([3, 2, 1, 0, 1, 2])
    soft = 0.3 * nn.functional.one_hot(first, 4) + 0.7 * nn.functional.one_hot(second, 4)
    for smoothing in (0.0, 0.1):
        wanted = nn.functional.cross_entropy(outputs, soft, label_smoothing=smoothing)
        found = task_term({"output": outputs}, Mixed(first, second, torch.tensor(0.3)), smoothing)
        assert found.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_real_targets_are_blended_like_the_inputs():
    inputs = {"x": torch.arange(8.0)[:, None]}
    torch.manual_seed(0)
    made, targets = mix(inputs, torch.arange(8.0) * 10, 1.0, 0.0)
    assert torch.allclose(made["x"][:, 0] * 10, targets)


@pytest.mark.parametrize(
    ("inputs", "targets", "cutmix", "named"),
    [
        ({"tokens": torch.zeros(4, 3).long()}, torch.zeros(4).long(), 0.0, "'tokens' holds torch.int64"),
        ({"x": torch.zeros(4, 3)}, torch.zeros(4).long(), 1.0, "'x' has 2 dimensions: use 'mixup'"),
        ({"x": torch.zeros(4, 3, 8, 8)}, torch.zeros(4, 8, 8).long(), 0.0, r"shape \(4, 8, 8\)"),
    ],
)
def test_what_cannot_be_mixed_is_refused_by_name(inputs, targets, cutmix, named):
    with pytest.raises(DataError, match=named):
        mix(inputs, targets, 0.0 if cutmix else 1.0, cutmix)


def test_teacher_and_student_see_the_same_mixed_batch(digits):
    seen = {"teacher": [], "student": []}

    class Spy(nn.Module):
        def __init__(self, whose):
            super().__init__()
            self.whose, self.layer = whose, nn.Linear(64, 10)

        def forward(self, image):
            seen[self.whose].append(image.clone())
            return self.layer(image.flatten(1))

    loss = distillation_loss(Spy("teacher"), 0.5, 4.0)
    fit(Spy("student"), loss, Training(digits.train, TrainConfig(epochs=1, samples=64, batch_size=32, mixup=1.0), 0))
    assert len(seen["teacher"]) == len(seen["student"]) == 2
    assert all(torch.equal(a, b) for a, b in zip(seen["teacher"], seen["student"], strict=True))


def test_training_on_mixed_batches_learns(digits):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    fit(module, task_loss(), Training(digits.train, TrainConfig(epochs=8, mixup=0.2, cutmix=1.0, learning_rate=0.1), 0))
    images, targets = digits.test.batch(np.arange(200))
    accuracy = (module(torch.from_numpy(images["image"])).argmax(1).numpy() == targets).mean()
    assert accuracy > 0.8
