"""Distillation: the formula by hand, and a teacher that nothing changes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from compress.configs import PruneConfig, TrainConfig
from compress.distillation.distil import distillation_loss, distillation_term, finetuning_loss, frozen
from compress.training.loop import Training, fit
from zoo.models import build


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 4, generator=generator), torch.randn(6, 4, generator=generator) * 3


def by_hand(student, teacher, temperature):
    """T² · mean over the batch of Σ p log(p / q)."""
    s, t = student.double().numpy() / temperature, teacher.double().numpy() / temperature
    q, p = (np.exp(v) / np.exp(v).sum(1, keepdims=True) for v in (s, t))
    return temperature**2 * float((p * np.log(p / q)).sum(1).mean())


def cross_entropy(outputs, targets):
    values = outputs.double().numpy()
    return float((np.log(np.exp(values).sum(1)) - values[np.arange(len(values)), targets.numpy()]).mean())


@pytest.mark.parametrize("temperature", [1.0, 4.0, 10.0])
def test_the_term_is_the_divergence_from_the_teacher_times_the_squared_temperature(pair, temperature):
    assert distillation_term(*pair, temperature).item() == pytest.approx(by_hand(*pair, temperature), rel=1e-4)
    assert distillation_term(pair[1], pair[1], temperature).item() == pytest.approx(0, abs=1e-5)


def test_the_term_is_a_mean_over_the_batch_not_a_sum(pair):
    doubled = [torch.cat([x, x]) for x in pair]
    assert distillation_term(*doubled, 4.0).item() == pytest.approx(distillation_term(*pair, 4.0).item(), rel=1e-5)


@pytest.mark.parametrize("kd_weight", [0.0, 0.25, 0.7, 1.0])
def test_kd_weight_is_the_weight_of_the_distillation_term(fixed, pair, kd_weight):
    targets = torch.tensor([0, 1, 2, 3, 0, 1])
    loss = distillation_loss(fixed(pair[1]), kd_weight, 4.0)
    found = loss(fixed(pair[0]), {"x": torch.zeros(6, 1)}, targets).item()
    expected = kd_weight * by_hand(*pair, 4.0) + (1 - kd_weight) * cross_entropy(pair[0], targets)
    assert found == pytest.approx(expected, rel=1e-4)


def test_real_targets_are_distilled_by_the_squared_difference(fixed, pair):
    targets = torch.zeros(6, 4)
    loss = distillation_loss(fixed(pair[1]), 0.3, 4.0)
    expected = 0.3 * ((pair[0] - pair[1]) ** 2).mean() + 0.7 * (pair[0] ** 2).mean()
    assert loss(fixed(pair[0]), {"x": torch.zeros(6, 1)}, targets).item() == pytest.approx(expected.item(), rel=1e-5)


def test_no_gradient_reaches_the_teacher(fixed, pair):
    teacher, student = fixed(pair[1]), fixed(pair[0])
    distillation_loss(teacher, 1.0, 4.0)(student, {"x": torch.zeros(6, 1)}, torch.zeros(6).long()).backward()
    assert teacher.outputs.grad is None
    assert student.outputs.grad is not None


def test_a_teacher_is_a_frozen_copy_in_eval_mode():
    module = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout()).train()
    made = frozen(module)
    assert module.training
    assert all(p.requires_grad for p in module.parameters())
    assert not any(p.requires_grad for p in made.parameters())
    assert not any(m.training for m in made.modules())


class Spy(nn.Module):
    """A teacher that notes the mode it is run in."""

    modes: tuple[bool, ...] = ()

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, image):
        Spy.modes += (self.training or any(m.training for m in self.inner.modules()) or torch.is_grad_enabled(),)
        return self.inner(image)


def test_the_teacher_is_unchanged_by_training_a_student(digits, tiny):
    Spy.modes = ()
    teacher = Spy(tiny.module).train()  # as a careless caller would hand it over
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    torch.manual_seed(0)
    student = build(tiny.ref)
    fit(student, distillation_loss(teacher, 0.7, 4.0), Training(digits.train, TrainConfig(epochs=1, samples=128), 0))
    tiny.module.eval()
    assert len(Spy.modes) > 1
    assert not any(Spy.modes)
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items()), "weights or statistics drifted"
    assert {name.partition(".")[0] for name in student.state_dict()} == {n.partition(".")[0] for n in tiny.module.state_dict()}


def test_without_weight_no_teacher_is_run(digits, tiny):
    Spy.modes = ()
    fit(
        build(tiny.ref),
        distillation_loss(Spy(tiny.module), 0.0, 4.0),
        Training(digits.train, TrainConfig(epochs=1, samples=64), 0),
    )
    assert Spy.modes == ()


@pytest.mark.parametrize("kd_weight", [0.0, 0.4])
def test_smoothed_labels_are_those_of_the_tasks_own_term(fixed, pair, kd_weight):
    targets = torch.tensor([0, 1, 2, 3, 0, 1])
    loss = distillation_loss(fixed(pair[1]), kd_weight, 4.0, 0.2)
    task = torch.nn.functional.cross_entropy(pair[0], targets, label_smoothing=0.2).item()
    expected = kd_weight * by_hand(*pair, 4.0) + (1 - kd_weight) * task
    assert loss(fixed(pair[0]), {"x": torch.zeros(6, 1)}, targets).item() == pytest.approx(expected, rel=1e-4)


SOURCES = sorted((Path(__file__).resolve().parents[3] / "compress").rglob("*.py"))


def test_every_fine_tuning_hands_on_all_that_its_recipe_says_of_the_loss(monkeypatch):
    calls = {path.name: path.read_text() for path in SOURCES if path.name != "distil.py"}
    assert {name for name, text in calls.items() if "finetuning_loss(" in text} >= {"steps.py", "qat.py", "palettes.py"}
    assert not [name for name, text in calls.items() if "distillation_loss(" in text]
    handed = []
    monkeypatch.setattr("compress.distillation.distil.distillation_loss", lambda *given, **named: handed.append((given, named)))
    config = PruneConfig(macs=0.5, kd_weight=0.3, temperature=7.0, label_smoothing=0.2, loss="cross-entropy")
    finetuning_loss("the teacher", config)
    assert handed == [(("the teacher", 0.3, 7.0, 0.2), {"loss": "cross-entropy"})]
