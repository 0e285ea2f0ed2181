"""A penalty before the cut: it is the sum it says it is, and it gathers what the network knows in fewer channels."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.errors import ModelError
from compress.configs import PruneConfig, TrainConfig
from compress.pruning.regularize import penalty, regularized
from compress.pruning.steps import prune
from compress.pruning.structured import cut_to, cuttable, rank
from compress.training.loop import Training, fit, task_loss

LAYER = "layer1.0.conv1"


def test_the_group_lasso_is_the_norm_of_all_that_leaves_with_each_channel(digits, tiny):
    example = digits.train.batch(np.arange(2))[0]
    block = tiny.module.layer1[0]
    parts = [block.conv1.weight.flatten(1), block.bn1.weight[:, None], block.conv2.weight.transpose(0, 1).flatten(1)]
    expected = sum(part.detach().square().sum(1) for part in parts).sqrt().sum()
    found = penalty("group-lasso", tiny.module, [LAYER], example)(tiny.module)
    torch.testing.assert_close(found.detach(), expected)


def test_slimming_is_the_sum_of_the_scales_that_can_be_cut(digits, tiny):
    example = digits.train.batch(np.arange(2))[0]
    layers, _ = cuttable(tiny, example)
    norms = [m for m in tiny.module.modules() if isinstance(m, nn.BatchNorm2d)]
    found = penalty("bn-scale", tiny.module, layers, example)(tiny.module)
    torch.testing.assert_close(found.detach(), sum(m.weight.detach().abs().sum() for m in norms))
    only = penalty("bn-scale", tiny.module, [LAYER], example)(tiny.module)
    torch.testing.assert_close(only.detach(), tiny.module.layer1[0].bn1.weight.detach().abs().sum())


def test_flattened_channels_are_counted_with_the_channel_they_came_from(wrap):
    module = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.Flatten(), nn.Linear(144, 5), nn.ReLU(), nn.Linear(5, 2))
    wrap(module)
    found = penalty("group-lasso", module, ["0"], {"x": np.zeros((2, 3, 8, 8), np.float32)})(module)
    squares = module[0].weight.square().flatten(1).sum(1) + module[2].weight.view(5, 4, 36).square().sum((0, 2))
    torch.testing.assert_close(found, squares.sqrt().sum())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "criterion", "strength"), [("group-lasso", "magnitude", 0.03), ("bn-scale", "bn-scale", 0.05)]
)
def test_it_gathers_strength_in_few_channels_so_that_a_cut_leaves_what_was_learned(digits, tiny, kind, criterion, strength):
    example = digits.train.batch(np.arange(2))[0]
    layers, _ = cuttable(tiny, example)
    term = penalty(kind, tiny.module, layers, example)
    inputs, targets = digits.test.batch(np.arange(300))
    weak, right = [], []
    for weight in (0.0, strength):
        model = copy.deepcopy(tiny)
        training = Training(digits.train, TrainConfig(epochs=8, learning_rate=0.1, weight_decay=0), 0)
        fit(model.module, regularized(task_loss(), weight, term), training)
        groups = rank(model, layers, PruneConfig(parameters=0.5, criterion=criterion), digits.train, np.arange(8), 0)
        weak.append(np.mean(np.concatenate([g.scores / g.scores.max() for g in groups]) < 0.1))
        after = []
        # what one cut leaves hangs on single channels, and so on how a processor rounds; what several leave does not
        for share in (0.4, 0.45, 0.5):
            goal = share * sum(p.numel() for p in model.module.parameters())
            cut = cut_to(model, groups, goal, 1, example, metric="parameters")
            with torch.no_grad():
                made = cut.module(torch.from_numpy(inputs["image"])).argmax(1).numpy()
            after.append((made == targets).mean())
        right.append(np.mean(after))
    assert weak[0] < 0.05
    assert weak[1] > 0.15
    assert right[1] > right[0] + 0.5


def test_the_stage_trains_with_the_penalty_before_the_first_cut(digits, tiny, monkeypatch):
    import compress.pruning.steps as steps

    seen, real = [], steps.fit

    def watched(module, loss, training):
        seen.append((training.config.epochs, module.layer1[0].conv1.out_channels))
        real(module, loss, training)

    monkeypatch.setattr(steps, "fit", watched)
    config = PruneConfig(
        macs=0.5, align=1, steps=2, regularize="bn-scale", regularize_weight=0.01, regularize_epochs=3, samples=64
    )
    prune(tiny, config, digits.train, seed=0)
    assert [epochs for epochs, _ in seen] == [3, 1, 1]
    assert seen[0][1] == 8


def test_a_penalty_with_nothing_to_act_on_is_refused(wrap):
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(128, 4))
    wrap(module)
    with pytest.raises(ModelError, match="bn-scale has nothing to act on: no batch norm"):
        penalty("bn-scale", module, ["0", "2"], {"x": np.zeros((2, 3, 8, 8), np.float32)})
