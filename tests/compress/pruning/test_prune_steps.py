"""Pruning in steps: what is asked is reached and measured, and a killed run ends with the same network."""

from functools import partial

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import compress.pruning.steps
from compress import checkpoint
from compress.configs import PruneConfig, TrainConfig
from compress.counting import count, prunable
from compress.pruning.steps import prune
from compress.pruning.unstructured import mask_to
from compress.training.loop import Training, fit, task_loss

CHANNELS = PruneConfig(macs=0.5, steps=2, align=2, finetune_epochs=1, samples=192, criterion="taylor", augment=("crop",))
WEIGHTS = PruneConfig(sparsity=0.8, steps=3, finetune_epochs=1, samples=192)


class Killed(Exception):
    """Stands for kill -9."""


def killed_at(*shares):
    """A progress callback that dies as each of these shares of the work is reached."""
    left = list(shares)

    def progress(share, message):
        if left and share >= left[0]:
            left.pop(0)
            raise Killed(message)

    return progress


@pytest.fixture
def kept_often(monkeypatch):
    """Fine-tuning keeps its state after every step."""
    monkeypatch.setattr(compress.pruning.steps, "Training", partial(Training, every_seconds=0))


@pytest.mark.slow
@pytest.mark.usefixtures("kept_often")
@pytest.mark.parametrize("config", [CHANNELS, WEIGHTS], ids=["channels", "weights"])
@pytest.mark.parametrize("shares", [(0.1,), (0.5, 0.51), (0.3, 0.7, 0.95)], ids=["inside", "between", "often"])
def test_a_killed_run_ends_with_the_same_weights(digits, tiny, tmp_path, config, shares):
    undisturbed = prune(tiny, config, digits.train, seed=4)
    progress, deaths = killed_at(*shares), 0
    while True:
        try:
            made = prune(tiny, config, digits.train, seed=4, work=tmp_path, progress=progress)
            break
        except Killed:
            deaths += 1
    assert deaths == len(shares)
    assert made.model.edits == undisturbed.model.edits
    wanted = undisturbed.model.module.state_dict()
    assert all(torch.equal(v, wanted[k]) for k, v in made.model.module.state_dict().items())
    assert made.details == undisturbed.details


def test_the_details_are_measured_on_the_networks(digits, tiny):
    made = prune(tiny, CHANNELS, digits.train, seed=0)
    example = digits.train.batch(np.arange(2))[0]
    start, end = count(tiny.module, example), count(made.model.module, example)
    steps = made.details.steps
    assert [s.step for s in steps] == [1, 2]
    assert steps[0].macs <= start["macs"] * (1 - 0.5 * 0.875)
    assert steps[1].macs == end["macs"] <= 0.5 * start["macs"]
    assert steps[1].parameters == end["parameters"] < start["parameters"]
    assert made.details.not_cut["linear"] == "it makes the model's output"
    assert made.details.widths["conv1"] == made.model.module.conv1.out_channels


def test_every_step_of_the_iterative_schedule_reaches_its_stated_sparsity(digits, tiny):
    made = prune(tiny, WEIGHTS, digits.train, seed=0)
    found = [s.sparsity for s in made.details.steps]
    assert found == pytest.approx([0.8 * (1 - (1 - i / 3) ** 3) for i in (1, 2, 3)], abs=1e-4)
    weights = torch.cat([w.flatten() for w in prunable(made.model.module).values()])
    assert int((weights == 0).sum()) == int(0.8 * len(weights))


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.95])
def test_the_number_of_zeros_is_exact(tiny, criterion, sparsity):
    made = mask_to(tiny, sparsity, criterion, 0)
    weights = torch.cat([w.flatten() for w in prunable(made.module).values()])
    assert int((weights == 0).sum()) == int(sparsity * len(weights))


def test_the_smallest_weights_of_the_whole_network_go_first(tiny):
    made = mask_to(tiny, 0.4, "magnitude", 0)
    before = torch.cat([w.flatten() for w in prunable(tiny.module).values()]).abs()
    gone = torch.cat([w.flatten() for w in prunable(made.module).values()]) == 0
    assert before[gone].max() <= before[~gone].min()


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
def test_masks_are_nested_as_they_grow(digits, tiny, criterion):
    first = mask_to(tiny, 0.3, criterion, 0)
    fit(first.module, task_loss(), Training(digits.train, TrainConfig(epochs=1, samples=64), 0, masks=first.masks))
    second = mask_to(first, 0.6, criterion, 1)
    assert all(not second.masks[name][~mask].any() for name, mask in first.masks.items())


def test_norms_and_biases_are_not_masked(tiny):
    made = mask_to(tiny, 0.9, "magnitude", 0)
    assert set(made.masks) == set(prunable(tiny.module))
    assert all(name.startswith(("conv", "linear", "layer")) for name in made.masks)
    assert not [name for name in made.masks if "bn" in name or name.endswith("bias")]


def test_masks_are_stored_and_hold_in_the_stages_that_follow(digits, tiny, tmp_path):
    made = prune(tiny, WEIGHTS, digits.train, seed=0).model
    checkpoint.save(made, tmp_path)
    again = checkpoint.load(tmp_path)
    fit(again.module, task_loss(), Training(digits.train, TrainConfig(epochs=1, samples=128), 0, masks=again.masks))
    assert all(not again.module.get_parameter(name)[~mask].any() for name, mask in again.masks.items())
    assert count(again.module, digits.train.batch(np.arange(2))[0])["sparsity"] == pytest.approx(0.8, abs=1e-4)


def test_zeros_do_not_make_the_dense_file_larger(digits, tiny, tmp_path):
    made = mask_to(tiny, 0.9, "magnitude", 0)
    found = count(made.module, digits.train.batch(np.arange(2))[0])
    assert found["bytes"] == count(tiny.module, digits.train.batch(np.arange(2))[0])["bytes"]


@pytest.mark.parametrize("options", [{}, {"macs": 0.5, "sparsity": 0.5}, {"sparsity": 0.5, "criterion": "taylor"}, {"macs": 0}])
def test_a_goal_that_makes_no_sense_is_refused(options):
    with pytest.raises(ValidationError):
        PruneConfig(**options)
