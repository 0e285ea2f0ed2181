"""Masks hold through whatever comes after: another training, a cut of channels, folding and training for int8."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.errors import ModelError
from artifacts.types import Cut
from compress import checkpoint
from compress.configs import DistilConfig, PruneConfig, QuantizeConfig
from compress.counting import prunable
from compress.distillation.distil import distillation_loss
from compress.fold import fold
from compress.pruning.steps import prune
from compress.pruning.structured import with_cuts
from compress.pruning.unstructured import mask_to, masks_for
from compress.qat import simulate, train_quantized
from compress.training.loop import Training, fit

QAT = QuantizeConfig(calibration_samples=64, qat_epochs=1, samples=128)


def assert_held(model):
    assert model.masks
    parameters = dict(model.module.named_parameters(remove_duplicate=False))
    for name, mask in model.masks.items():
        assert not parameters[name][~mask].any(), name


@pytest.mark.parametrize("options", [{}, {"ema": 0.9}, {"optimizer": "adamw", "learning_rate": 1e-3}])
def test_masks_hold_through_a_distillation(digits, tiny, options):
    model = copy.deepcopy(mask_to(tiny, 0.7, "magnitude", 0))
    loss = distillation_loss(tiny.module, 0.5, 4.0)
    fit(model.module, loss, Training(digits.train, DistilConfig(epochs=1, samples=128, **options), 0, masks=model.masks))
    assert_held(model)


def test_masks_are_cut_along_with_the_channels(digits, tiny):
    example = digits.train.batch(np.arange(2))[0]
    sparse = mask_to(tiny, 0.6, "magnitude", 0)
    gone, kept = (1, 4, 6), [0, 2, 3, 5, 7]
    made = with_cuts(sparse, [Cut("layer1.0.conv1", True, gone)], example)
    assert torch.equal(made.masks["layer1.0.conv1.weight"], sparse.masks["layer1.0.conv1.weight"][kept])
    assert torch.equal(made.masks["layer1.0.conv2.weight"], sparse.masks["layer1.0.conv2.weight"][:, kept])
    for name, weight in prunable(made.module).items():
        assert made.masks[name].shape == weight.shape
        assert made.masks[name].dtype == torch.bool
        assert made.masks[name].is_contiguous()
    assert_held(made)


def test_a_mask_over_weights_that_are_large_again_is_still_cut_as_a_mask(digits, tiny):
    # what is kept is read from the mask, not from which weights happen to be zero
    example = digits.train.batch(np.arange(2))[0]
    sparse = mask_to(tiny, 0.6, "magnitude", 0)
    with torch.no_grad():
        for weight in prunable(sparse.module).values():
            weight.fill_(1.0)
    made = with_cuts(sparse, [Cut("layer1.0.conv1", True, (0,))], example)
    assert torch.equal(made.masks["layer1.0.conv1.weight"], sparse.masks["layer1.0.conv1.weight"][1:])


def test_channels_are_pruned_after_weights_and_the_masks_hold_in_store_and_fine_tuning(digits, tiny, tmp_path):
    sparse = mask_to(tiny, 0.6, "magnitude", 0)
    made = prune(sparse, PruneConfig(macs=0.6, align=2, steps=2, samples=128), digits.train, seed=0, work=tmp_path / "work")
    assert_held(made.model)
    assert set(made.model.masks) == set(sparse.masks)
    checkpoint.save(made.model, tmp_path)
    again = checkpoint.load(tmp_path)
    assert_held(again)
    assert all(torch.equal(mask, made.model.masks[name]) for name, mask in again.masks.items())
    assert made.details.steps[-1].sparsity > 0.4


def test_masks_hold_through_pruning_in_both_ways_and_training_for_int8(digits, tiny):
    weights = prune(tiny, PruneConfig(sparsity=0.5, samples=128), digits.train, seed=0).model
    narrow = prune(weights, PruneConfig(parameters=0.7, align=2, samples=128), digits.train, seed=0).model
    trained = train_quantized(narrow, QAT, digits.train, seed=0)
    assert set(trained.masks) == set(narrow.masks)
    assert_held(trained)
    rounded = simulate(trained)
    zeros = sum(int((w == 0).sum()) for w in prunable(rounded).values())
    assert zeros >= sum(int((~m).sum()) for m in trained.masks.values())


class Shares(nn.Module):
    """Two layers with one weight, one layer that never runs, and blocks in a list."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(64, 64)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64)), nn.Sequential(nn.Linear(64, 64))])
        self.again, self.head = nn.Linear(64, 64, bias=False), nn.Linear(64, 10)
        self.again.weight = self.blocks[1][0].weight

    def forward(self, image):
        y = image.flatten(1)
        y = torch.relu(self.again(torch.relu(self.blocks[0](y))))
        return self.head(torch.relu(self.blocks[1](y)))


def test_masks_of_shared_and_listed_layers_find_their_weights_in_the_folded_graph(digits, wrap):
    torch.manual_seed(0)
    model = wrap(Shares(), (1, 8, 8))
    model = type(model)(model.module, model.ref, type(model.signature)((digits.inputs[0],)))
    sparse = mask_to(model, 0.5, "magnitude", 0)
    assert set(sparse.masks) == {"unused.weight", "blocks.0.0.weight", "blocks.1.0.weight", "head.weight"}
    made = train_quantized(sparse, QAT, digits.train, seed=0)
    assert_held(made)
    running = {n: m for n, m in sparse.masks.items() if n != "unused.weight"}
    shapes = sorted((tuple(m.shape), int((~m).sum())) for n, m in made.masks.items() if n != "unused.weight")
    assert shapes == sorted((tuple(m.shape), int((~m).sum())) for m in running.values())
    folded = dict(made.module.named_parameters())
    assert sum(int((w == 0).sum()) for w in folded.values() if w.ndim > 1) >= sum(int((~m).sum()) for m in running.values())


def test_a_mask_is_found_under_the_other_name_of_a_shared_weight():
    model = Shares()
    graph = nn.Module()
    graph.again = nn.Linear(64, 64, bias=False)
    mask = torch.rand(64, 64) > 0.5
    assert masks_for({"blocks.1.0.weight": mask, "unused.weight": mask}, model, graph) == {"again.weight": mask}


def test_a_mask_that_would_not_fit_is_refused_not_lost():
    model, graph = Shares(), nn.Module()
    graph.head = nn.Linear(32, 10)
    with pytest.raises(ModelError, match=r"mask of 'head.weight' \(10, 64\) does not fit .* \(10, 32\)"):
        masks_for({"head.weight": torch.ones(10, 64, dtype=torch.bool)}, model, graph)


def test_folding_keeps_every_masked_weight_zero(tiny):
    sparse = mask_to(tiny, 0.7, "magnitude", 0)
    folded = fold(sparse.module, sparse.signature)
    found = masks_for(sparse.masks, sparse.module, folded)
    assert set(found) == set(sparse.masks)
    assert all(not folded.get_parameter(name)[~mask].any() for name, mask in found.items())
