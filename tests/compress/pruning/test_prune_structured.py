"""Channels really leave, the network computes what it would with them silent, and what was asked is what is measured."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.errors import IntegrityError, ModelError
from artifacts.types import Cut, TorchModel
from compress import checkpoint
from compress.configs import PruneConfig
from compress.counting import count, macs
from compress.edits.cuts import graph, silenced
from compress.pruning.schedules import progress_after
from compress.pruning.steps import prune
from compress.pruning.structured import Group, cut_to, cuttable, rank, widths, with_cuts

CRITERIA = ["magnitude", "taylor", "bn-scale", "random"]


def cut(model, digits, goal, align=1, criterion="magnitude"):
    config = PruneConfig(macs=goal, criterion=criterion)
    example = digits.train.batch(np.arange(2))[0]
    layers, _ = cuttable(model, example)
    groups = rank(model, layers, config, digits.train, np.arange(64), 0)
    return cut_to(model, groups, goal * macs(model.module, example), align, example)


@pytest.mark.parametrize("goal", [0.9, 0.6, 0.3])
@pytest.mark.parametrize("align", [1, 4])
def test_the_measured_macs_are_at_most_the_goal(digits, tiny, goal, align):
    example = digits.train.batch(np.arange(2))[0]
    made = cut(tiny, digits, goal, align)
    share = macs(made.module, example) / macs(tiny.module, example)
    assert goal - 0.2 < share <= goal
    assert all(w % align == 0 for n, w in widths(made.module).items() if n != "linear")


def test_channels_are_physically_gone(digits, tiny):
    before, made = tiny.module, cut(tiny, digits, 0.5).module
    assert sum(p.numel() for p in made.parameters()) < 0.75 * sum(p.numel() for p in before.parameters())
    for name, layer in made.named_modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.shape[:2] == (layer.out_channels, layer.in_channels)
            assert layer.weight.numel() <= before.get_submodule(name).weight.numel()
    assert made.linear.out_features == 10


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_reaches_the_goal_and_ranks_every_group(digits, tiny, criterion):
    example = digits.train.batch(np.arange(2))[0]
    made = cut(tiny, digits, 0.6, 1, criterion)
    assert macs(made.module, example) <= 0.6 * macs(tiny.module, example)


def test_norm_entries_leave_with_their_channels_and_the_others_keep_their_values(digits, tiny):
    example = digits.train.batch(np.arange(2))[0]
    made = with_cuts(tiny, [Cut("layer1.0.conv1", True, (1, 4, 6))], example)
    kept = [0, 2, 3, 5, 7]
    old, new = tiny.module.layer1[0], made.module.layer1[0]
    for name in ("weight", "bias", "running_mean", "running_var"):
        assert torch.equal(getattr(new.bn1, name), getattr(old.bn1, name)[kept])
    assert torch.equal(new.conv1.weight, old.conv1.weight[kept])
    assert torch.equal(new.conv2.weight, old.conv2.weight[:, kept])
    assert new.bn1.num_features == 5


@pytest.mark.parametrize("layer", ["layer1.0.conv1", "conv1", "layer2.0.conv2", "layer3.0.conv1"])
def test_the_cut_network_is_the_network_with_those_channels_silent(digits, tiny, examples, layer):
    example = digits.train.batch(np.arange(2))[0]
    module, channels = tiny.module, [0, 3, 5]
    dependencies = graph(copy.deepcopy(module), example)
    root = dependencies.model.get_submodule(layer)
    remove = dependencies.get_pruner_of_module(root).prune_out_channels
    silent = silenced(dependencies.model, dependencies.get_pruning_group(root, remove, channels))
    made = with_cuts(tiny, [Cut(layer, True, tuple(channels))], example).module
    with torch.no_grad():
        torch.testing.assert_close(made(examples), silent(examples), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(made(examples), module(examples), atol=1e-3)


def test_padded_shortcuts_are_left_whole_with_a_reason_and_inner_layers_are_cut(digits, tiny_a, examples):
    example = digits.train.batch(np.arange(2))[0]
    good, refused = cuttable(tiny_a, example)
    assert sorted(good) == ["layer1.0.conv1", "layer2.0.conv1", "layer3.0.conv1"]
    assert set(refused) - {"linear"}
    assert all("channels" in reason or "fails" in reason for name, reason in refused.items() if name != "linear")
    made = cut(tiny_a, digits, 0.7)
    old, new = widths(tiny_a.module), widths(made.module)
    assert {n for n in old if old[n] != new[n]} <= set(good)
    reference = tiny_a.module
    for step in made.edits:
        dependencies = graph(copy.deepcopy(reference), example)
        root = dependencies.model.get_submodule(step.layer)
        remove = dependencies.get_pruner_of_module(root).prune_out_channels
        reference = silenced(dependencies.model, dependencies.get_pruning_group(root, remove, list(step.channels)))
    with torch.no_grad():
        torch.testing.assert_close(made.module(examples), reference(examples), rtol=1e-4, atol=1e-4)


def test_the_output_layer_is_never_cut(digits, tiny):
    good, refused = cuttable(tiny, digits.train.batch(np.arange(2))[0])
    assert "linear" not in good
    assert refused["linear"] == "it makes the model's output"
    assert cut(tiny, digits, 0.1).module.linear.out_features == 10


def test_an_unreachable_goal_is_one_sentence(digits, tiny):
    with pytest.raises(ModelError, match=r"cannot reach .* MACs: .*; raise 'macs' or lower 'align' \(8\)") as caught:
        cut(tiny, digits, 0.01, align=8)
    assert "\n" not in str(caught.value)


def test_cuts_are_stored_without_pickle_and_replayed_to_the_same_network(digits, tiny_a, tiny, examples, tmp_path):
    for number, model in enumerate((tiny, tiny_a)):
        config = PruneConfig(macs=0.5, steps=2, align=1, finetune_epochs=1, samples=64)
        made = prune(model, config, digits.train, seed=0).model
        folder = tmp_path / str(number)
        folder.mkdir()
        checkpoint.save(made, folder)
        again = checkpoint.load(folder)
        assert again.edits == made.edits
        with torch.no_grad():
            assert torch.equal(again.module(examples), made.module(examples))
        assert sorted(p.name for p in folder.iterdir()) == ["model.json", "weights.safetensors"]
        assert not any(p.read_bytes().startswith((b"\x80", b"PK")) for p in folder.iterdir())


def test_cuts_that_do_not_fit_the_model_are_named(digits, tiny):
    with pytest.raises(IntegrityError, match="no_such_layer"):
        with_cuts(tiny, [Cut("no_such_layer", True, (0,))], digits.train.batch(np.arange(2))[0])


def test_what_alignment_cut_too_much_is_given_back():
    module = nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU(), nn.Conv2d(16, 4, 1))
    example = {"x": np.zeros((2, 3, 4, 4), np.float32)}
    model = TorchModel(module.eval(), None, None)
    scores = np.arange(16, dtype=float)
    scores[:12] = 0
    made = cut_to(model, [Group("0", scores)], 0.8 * macs(module, example), 4, example)
    assert made.module[0].out_channels == 12


def test_counting_counts_what_runs():
    module = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.Flatten(), nn.Linear(8 * 36, 10))
    found = count(module, {"x": np.zeros((2, 3, 8, 8), np.float32)})
    assert found["macs"] == 36 * 8 * 27 + 288 * 10
    assert found["parameters"] == 216 + 2890
    assert found["bytes"] == 4 * found["parameters"]


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        ("linear", [0.25, 0.5, 0.75, 1.0]),
        ("cubic", [0.578125, 0.875, 0.984375, 1.0]),
        ("exponential", [8 / 15, 12 / 15, 14 / 15, 1.0]),
    ],
)
def test_schedules_take_their_published_values_and_end_at_one(schedule, values):
    assert [progress_after(i, 4, schedule) for i in range(1, 5)] == pytest.approx(values)
    assert progress_after(7, 7, schedule) == 1.0
    assert progress_after(1, 1, schedule) == 1.0


def test_groups_that_the_criterion_cannot_rank_are_named(digits, wrap):
    module = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10)
    )
    model = wrap(module, (1, 8, 8))
    config = PruneConfig(parameters=0.8, align=1, criterion="bn-scale", finetune_epochs=0)
    made = prune(model, config, digits.train, seed=0)
    assert made.details.not_cut["0"] == "criterion 'bn-scale' cannot rank it: no batch norm follows it"
    assert made.details.widths["0"] == 8
    assert made.details.widths["2"] < 8


@pytest.mark.parametrize("goal", ["parameters", "bytes"])
def test_parameters_and_bytes_are_goals_too(digits, tiny, goal):
    config = PruneConfig(**{goal: 0.5}, align=1, steps=2, criterion="lamp", finetune_epochs=0)
    made = prune(tiny, config, digits.train, seed=0)
    example = digits.train.batch(np.arange(2))[0]
    found = [getattr(step, goal) / count(tiny.module, example)[goal] for step in made.details.steps]
    assert 0.48 < found[1] <= 0.5
    assert 0.53 < found[0] <= 1 - 0.5 * 0.875
    assert count(made.model.module, example)[goal] == getattr(made.details.steps[-1], goal)
