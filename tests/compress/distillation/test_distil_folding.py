"""A teacher whose batch norms are folded says what it said before, and its layers are still there to be watched."""

import copy

import pytest
import torch
from torch import nn

from compress.configs import DistilConfig
from compress.distillation.distil import Network, Teacher, distillation_objective
from compress.distillation.folding import fold_norms
from zoo.models import build


def norms(module):
    return sum(isinstance(m, nn.BatchNorm2d) for m in module.modules())


def fed(module, *shape):
    """A network with statistics of its own, in eval mode, and what it makes of some input."""
    torch.manual_seed(0)
    x = torch.randn(4, *shape)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
    with torch.no_grad():
        module.train()(x)
        return module.eval(), x, module(x)


@torch.no_grad()
def test_every_norm_after_a_convolution_is_folded_and_the_outputs_stay(tiny):
    module, x, before = fed(build(tiny.ref), 1, 8, 8)
    names, count = [n for n, _ in module.named_modules()], norms(module)
    assert fold_norms(module) == count > 5
    assert norms(module) == 0
    assert [n for n, _ in module.named_modules()] == names
    torch.testing.assert_close(module(x), before, rtol=1e-4, atol=1e-5)


class Awkward(nn.Module):
    """Two norms that cannot be folded, and one that could."""

    def __init__(self):
        super().__init__()
        self.shared, self.split, self.last = (nn.Conv2d(3, 3, 1) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(3))

    def forward(self, x):
        x = self.shared(self.norms[0](self.shared(x)))
        y = self.split(x)
        return self.norms[2](self.last(self.norms[1](y) + y))


@torch.no_grad()
def test_what_has_another_use_is_left(tiny):
    module, x, before = fed(Awkward(), 3, 4, 4)
    assert fold_norms(module) == 1
    assert isinstance(module.norms[2], nn.Identity)
    torch.testing.assert_close(module(x), before, rtol=1e-4, atol=1e-5)


class Deciding(nn.Sequential):
    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else super().forward(-x)


@pytest.mark.parametrize(
    "module",
    [
        Deciding(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)),
        nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)),
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 3, 1)), nn.BatchNorm2d(3)),
    ],
    ids=["untraceable", "statistics-of-the-batch", "parametrized"],
)
@torch.no_grad()
def test_what_cannot_be_folded_is_left(module):
    module, x, before = fed(copy.deepcopy(module), 3, 4, 4)
    assert fold_norms(module) == 0
    torch.testing.assert_close(module(x), before)


def test_a_distillation_objective_folds_its_teachers_but_for_the_layers_that_it_compares(tiny, digits):
    config = DistilConfig(method="features", layers={"conv1": "conv1", "layer2": "layer2"}, feature_weight=0.1)
    first, second = Network(tiny.module), Network(tiny.module)
    example = {"image": torch.randn(2, 1, 8, 8)}
    student = build(tiny.ref)
    with distillation_objective(student, [Teacher(first), Teacher(second)], config, example, 0) as (loss, _):
        assert norms(first.module) == 1
        assert norms(second.module) == 1
        assert loss(student, example, torch.tensor([0, 1])).isfinite()
    assert norms(tiny.module) > 5, "the caller's network is as it was"
