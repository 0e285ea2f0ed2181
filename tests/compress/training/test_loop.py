"""The training loop: interrupted it ends the same, masks hold, the caller's tensors are left alone."""

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.errors import StageCrashed
from compress.configs import TrainConfig
from compress.training.augment import augment
from compress.training.loop import Training, fit, make_optimizer, predict, rate, subset, task_loss, task_term
from zoo.models import build
from zoo.splits import ArraySplit

CONFIG = TrainConfig(epochs=2, batch_size=32, augment=("flip", "crop"), samples=200, learning_rate=0.05)


class Killed(Exception):
    """Stands for kill -9."""


class Noisy(nn.Module):
    """Draws random numbers as it trains, and keeps statistics."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(216, 10)
        )

    def forward(self, image):
        return self.body(image)


def fresh():
    torch.manual_seed(5)
    return Noisy()


def same(left: nn.Module, right: nn.Module) -> bool:
    other = right.state_dict()
    return all(torch.equal(v, other[k]) for k, v in left.state_dict().items())


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("stops", [[1], [3, 7], [6, 11]])
def test_an_interrupted_run_ends_with_the_very_same_weights(digits, tmp_path, stops, optimizer):
    config = CONFIG.model_copy(update={"optimizer": optimizer})
    undisturbed = fresh()
    fit(undisturbed, task_loss(), Training(digits.train, config, 9))
    seen = []
    for stop in [*stops, 10_000]:

        def progress(share, message, stop=stop):
            seen.append(round(share * 12))
            if round(share * 12) == stop + 1:
                raise Killed

        module = fresh()
        training = Training(digits.train, config, 9, tmp_path / "state", progress, every_seconds=0)
        try:
            fit(module, task_loss(), training)
        except Killed:
            torch.manual_seed(torch.seed())
    assert seen[-1] == 12
    assert len(seen) == 12 + len(stops), "each interruption may cost one step, the one in flight"
    assert same(module, undisturbed)


def test_another_seed_ends_elsewhere(digits):
    runs = [fresh(), fresh()]
    for seed, module in enumerate(runs):
        fit(module, task_loss(), Training(digits.train, CONFIG, seed))
    assert not same(*runs)


def test_a_loss_that_is_no_number_ends_the_stage(digits):
    module = fresh()
    with torch.no_grad():
        module.body[0].weight[0] = float("nan")
    with pytest.raises(StageCrashed, match=r"nan at step 0; lower learning_rate 0\.05"):
        fit(module, task_loss(), Training(digits.train, CONFIG, 0))


def test_masked_weights_are_exactly_zero_after_training(digits, tiny):
    module = build(tiny.ref)
    names = ["conv1.weight", "layer2.0.conv2.weight", "linear.weight"]
    generator = torch.Generator().manual_seed(0)
    masks = {n: torch.rand(module.get_parameter(n).shape, generator=generator) > 0.6 for n in names}
    config = TrainConfig(epochs=1, samples=300, weight_decay=0.01)
    fit(module, task_loss(), Training(digits.train, config, 0, masks=masks))
    for name, mask in masks.items():
        weight = module.get_parameter(name)
        assert not weight[~mask].any()
        assert weight[mask].all()


def test_training_ends_in_eval_mode_and_no_epochs_change_nothing(digits):
    module, untouched = fresh(), fresh()
    fit(module, task_loss(), Training(digits.train, TrainConfig(epochs=0), 0))
    assert not module.training
    assert same(module, untouched)


def test_a_last_batch_of_one_is_no_batch(digits):
    fit(fresh(), task_loss(), Training(digits.train, TrainConfig(epochs=1, batch_size=32, samples=33), 0))


def test_augmenting_leaves_the_callers_batch_alone():
    x, vector = torch.randn(6, 3, 16, 16), torch.randn(6, 4)
    kept = x.clone()
    torch.manual_seed(0)
    made = augment({"image": x, "vector": vector}, ("flip", "crop"))
    assert torch.equal(x, kept)
    assert made["vector"] is vector
    assert made["image"].shape == x.shape
    assert not torch.equal(made["image"], x)


def test_flips_and_crops_only_move_pixels():
    x = torch.arange(1, 257).reshape(1, 1, 16, 16).expand(40, 1, 16, 16).float()
    torch.manual_seed(0)
    flipped = augment({"x": x}, ("flip",))["x"]
    kinds = {bool(torch.equal(row, x[0])) for row in flipped}
    assert kinds == {True, False}
    assert all(torch.equal(row, x[0]) or torch.equal(row, x[0].flip(2)) for row in flipped)
    cropped = augment({"x": x}, ("crop",))["x"]
    assert cropped.shape == x.shape
    assert set(cropped.unique().tolist()) <= {0.0, *x.unique().tolist()}
    inner = x[0, 0, 2:14, 2:14]
    assert all((row[0] == inner[6, 6]).any() for row in cropped)


def test_learning_rates_start_and_end_where_they_should():
    ends = {}
    for schedule in ("one-cycle", "cosine", "constant"):
        config = TrainConfig(lr_schedule=schedule, learning_rate=0.1)
        ends[schedule] = [round(rate(config, share), 6) for share in (0.0, 0.25, 1.0)]
    assert ends["one-cycle"] == [0.004, 0.1, 0.0]
    assert ends["cosine"] == [0.1, round(0.05 * (1 + 2**-0.5), 6), 0.0]
    assert ends["constant"] == [0.1, 0.1, 0.1]


def test_biases_and_norms_are_not_decayed():
    decayed, plain = make_optimizer(fresh(), TrainConfig(weight_decay=0.1)).param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    assert all(p.ndim > 1 for p in decayed["params"])
    assert all(p.ndim == 1 for p in plain["params"])


def test_label_smoothing_mixes_in_the_uniform_distribution():
    logits, targets = torch.randn(5, 10), torch.arange(5)
    logs = torch.log_softmax(logits, 1)
    by_hand = -(0.8 * logs[range(5), targets] + 0.2 * logs.mean(1)).mean()
    assert task_term({"output": logits}, targets, 0.2).item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_real_targets_are_held_against_outputs_of_their_own_shape():
    assert task_term({"output": torch.tensor([[1.0], [3.0]])}, torch.tensor([1.0, 1.0])).item() == 2.0


def test_a_subset_is_a_fixed_draw(digits):
    first, again, other = (subset(digits.train, 50, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(np.unique(first)) == 50
    assert np.array_equal(subset(digits.train, None, 0), np.arange(len(digits.train)))


def test_predicting_covers_every_example_and_restores_the_mode():
    split = ArraySplit({"x": np.arange(10, dtype=np.float32)[:, None]}, np.zeros(10))
    module = nn.Sequential(nn.Identity(), nn.Dropout(0.9)).train()
    assert predict(module, split, 4).ravel().tolist() == list(range(10))
    assert module.training
