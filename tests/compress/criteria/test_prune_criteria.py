"""Each criterion ranks by what its paper says, checked against sums made by hand and by taking channels away."""

import copy

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from compress.configs import PruneConfig
from compress.counting import macs
from compress.criteria import CRITERIA, Criterion
from compress.criteria.lamp import lamp
from compress.criteria.preparing import gradients, hessian_diagonal, squared_gradients
from compress.criteria.scoring import score_weights
from compress.pruning.structured import cut_to, cuttable, rank, widths
from compress.pruning.unstructured import mask_to
from compress.training.loop import task_loss, tensors

CHANNELS = sorted(name for name, criterion in CRITERIA.items() if criterion.channels)
INDICES = np.arange(40)


def scores(model, digits, criterion, layer="layer1.0.conv1", **options):
    config = PruneConfig(macs=0.5, criterion=criterion, **options)
    (group,) = rank(model, [layer], config, digits.train, INDICES, 0)
    return group.scores


def test_what_cannot_rank_names_what_can():
    for goal, ranks in (({"sparsity": 0.5}, "weights"), ({"macs": 0.5}, "channels")):
        other = {"weights": "channels", "channels": "single weights"}[ranks]
        for name, criterion in CRITERIA.own().items():
            if getattr(criterion, ranks):
                PruneConfig(criterion=name, **goal)
                continue
            assert getattr(CRITERIA[criterion.instead], ranks)
            with pytest.raises(ValidationError, match=f"criterion '{name}' ranks {other}; with '.*' use {criterion.instead}"):
                PruneConfig(criterion=name, **goal)


def test_a_criterion_that_is_not_there_gets_the_nearest_and_the_schema_lists_those_that_are():
    with pytest.raises(ValidationError, match="unknown criterion 'magnitud'; did you mean 'magnitude'"):
        PruneConfig(macs=0.5, criterion="magnitud")
    assert PruneConfig.model_json_schema()["properties"]["criterion"]["enum"] == list(CRITERIA)


def test_a_criterion_of_somebody_else_ranks_by_its_own_rule(digits, tiny, monkeypatch):
    monkeypatch.setattr(CRITERIA, "_brought", {})
    CRITERIA.add(Criterion("smallest", weights=lambda weight, gradient, generator: -weight.detach().abs()))
    module = copy.deepcopy(tiny.module)
    found = score_weights("smallest", module, {"conv1.weight": module.conv1.weight}, None, INDICES, 0)
    assert torch.equal(found["conv1.weight"], -module.conv1.weight.detach().abs())
    with pytest.raises(ValidationError, match="criterion 'smallest' ranks single weights; with 'macs' use magnitude"):
        PruneConfig(macs=0.5, criterion="smallest")
    with pytest.raises(ValueError, match="ranks neither channels nor weights"):
        Criterion("idle")


@pytest.mark.parametrize("criterion", CHANNELS)
def test_a_channel_that_does_nothing_is_last_in_every_ranking_but_the_draw(digits, tiny, criterion):
    model = copy.deepcopy(tiny)
    block = model.module.layer1[0]
    with torch.no_grad():
        block.conv1.weight[3] = 0
        block.bn1.weight[3] = 0
        block.bn1.bias[3] = 0
        block.conv2.weight[:, 3] = 0
    found = scores(model, digits, criterion)
    assert found.shape == (8,)
    assert np.isfinite(found).all()
    if criterion != "random":
        assert found.argmin() == 3
        assert found[3] < 0.5 * np.delete(found, 3).min()


def test_the_same_seed_ranks_the_same_and_ranking_changes_nothing(digits, tiny):
    for criterion in CHANNELS:
        assert np.array_equal(scores(tiny, digits, criterion), scores(tiny, digits, criterion)), criterion


@pytest.mark.parametrize(("criterion", "power"), [("magnitude", 2), ("magnitude-l1", 1)])
def test_magnitude_is_the_norm_over_all_layers_of_the_group(digits, tiny, criterion, power):
    block = tiny.module.layer1[0]
    parts = [block.conv1.weight.flatten(1), block.bn1.weight[:, None], block.conv2.weight.transpose(0, 1).flatten(1)]
    sums = sum(part.detach().abs().pow(power).sum(1) for part in parts)
    np.testing.assert_allclose(scores(tiny, digits, criterion), (sums / sums.mean()).numpy(), rtol=1e-4)


def test_batch_norm_scales_are_compared_as_they_stand(digits, tiny):
    found = scores(tiny, digits, "bn-scale")
    np.testing.assert_allclose(found, tiny.module.layer1[0].bn1.weight.detach().abs().numpy(), rtol=1e-6)


def test_the_fisher_information_is_the_mean_over_all_examples(digits, tiny):
    module, expected = copy.deepcopy(tiny.module), None
    for index in INDICES[:5]:
        module.zero_grad()
        task_loss()(module, *tensors(digits.train, np.array([index]))).backward()
        squares = module.conv1.weight.grad.square()
        expected = squares if expected is None else expected + squares
    squared_gradients(module, digits.train, INDICES[:5])
    torch.testing.assert_close(module.conv1.weight.grad, expected / 5)


def test_the_hessian_diagonal_of_a_quadratic_is_exact():
    class Quadratic:
        """x is the unit vectors, so that the squared error is a sum of squares of weights."""

        def __len__(self):
            return 4

        def batch(self, indices):
            return {"x": np.eye(4, dtype=np.float32)[indices] * np.array([1, 2, 3, 4], np.float32)}, np.zeros(
                (4, 1), np.float32
            )

    layer = nn.Linear(4, 1, bias=False)
    hessian_diagonal(layer, Quadratic(), np.arange(4))
    torch.testing.assert_close(layer.weight.grad[0], 2 * torch.tensor([1.0, 4.0, 9.0, 16.0]) / 4)


def test_the_estimated_hessian_nears_the_true_one_as_probes_are_added(digits, monkeypatch):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False))
    inputs, targets = tensors(digits.train, INDICES)

    def loss(weight):
        return nn.functional.cross_entropy(inputs["image"].flatten(1) @ weight.view(10, 64).T, targets)

    exact = torch.autograd.functional.hessian(loss, module[1].weight.detach().flatten()).diagonal()
    errors = []
    for probes in (16, 2048):
        monkeypatch.setattr("compress.criteria.preparing.PROBES", probes)
        hessian_diagonal(module, digits.train, INDICES)
        errors.append(float((module[1].weight.grad.flatten() - exact).norm() / exact.norm()))
        module.zero_grad()
    assert errors[1] < 0.1
    assert errors[1] < errors[0] / 4  # the error falls with the root of the probes


def test_networks_that_attend_have_second_derivatives(wrap, digits):
    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.head = nn.Linear(8, 8), nn.Linear(8, 10)

        def forward(self, image):
            y = self.q(image.flatten(1, 2))
            return self.head(nn.functional.scaled_dot_product_attention(y, y, y).mean(1))

    module = Attends()
    hessian_diagonal(module, digits.train, INDICES)
    assert module.q.weight.grad.sum() > 0


def test_lamp_is_each_square_over_the_sum_of_those_at_least_as_large():
    assert lamp(torch.tensor([4.0, 1.0, 3.0])).tolist() == pytest.approx([1, 1 / 8, 3 / 7])
    assert not lamp(torch.zeros(3)).isnan().any()
    many = lamp(torch.rand(100_000).square())
    assert float(many.max()) == 1.0
    assert bool((many >= 0).all())


def test_lamp_spares_the_layer_whose_weights_are_all_small(wrap):
    module = nn.Sequential(nn.Linear(100, 100, bias=False), nn.Linear(100, 100, bias=False))
    with torch.no_grad():
        module[1].weight.mul_(1e-3)
    model = wrap(module, (100,))
    share = {c: float((mask_to(model, 0.5, c, 0).module[1].weight == 0).float().mean()) for c in ("magnitude", "lamp")}
    assert share["magnitude"] > 0.99
    assert share["lamp"] == pytest.approx(0.5, abs=0.05)


def test_snip_is_the_gradient_times_the_weight(digits, tiny):
    module = copy.deepcopy(tiny.module)
    gradients(module, digits.train, INDICES)
    expected = (module.conv1.weight * module.conv1.weight.grad).abs().detach()
    fresh = copy.deepcopy(tiny.module)
    found = score_weights("snip", fresh, {"conv1.weight": fresh.conv1.weight}, digits.train, INDICES, 0)
    torch.testing.assert_close(found["conv1.weight"], expected)


@pytest.mark.parametrize("criterion", ["snip", "fisher", "hessian"])
def test_gradients_say_more_about_single_weights_than_a_draw(digits, tiny, criterion):
    def loss(name):
        made = mask_to(tiny, 0.5, name, 0, split=digits.train, indices=np.arange(200))
        inputs, targets = tensors(digits.train, np.arange(200, 500))
        with torch.no_grad():
            return float(task_loss()(made.module, inputs, targets))

    assert loss(criterion) < loss("random")


def test_local_ranking_takes_the_same_share_from_every_group(digits, tiny):
    example = digits.train.batch(INDICES[:2])[0]
    layers, _ = cuttable(tiny, example)
    config = PruneConfig(macs=0.5, ranking="local")
    groups = rank(tiny, layers, config, digits.train, INDICES, 0)
    before = macs(tiny.module, example)
    made = cut_to(tiny, groups, 0.4 * before, 1, example)
    old, new = widths(tiny.module), widths(made.module)
    shares = [new[layer] / old[layer] for layer in layers]
    assert max(shares) - min(shares) <= 1 / 8 + 1e-9  # one channel of the narrowest group
    free = cut_to(tiny, rank(tiny, layers, PruneConfig(macs=0.5), digits.train, INDICES, 0), 0.4 * before, 1, example)
    loose = [widths(free.module)[layer] / old[layer] for layer in layers]
    assert max(loose) - min(loose) > max(shares) - min(shares)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"macs": 0.5, "criterion": "snip"}, "'snip' ranks single weights; with 'macs' use taylor"),
        ({"n_of_m": "2:4", "criterion": "taylor"}, "'taylor' ranks channels; with 'n_of_m' use snip"),
        ({"sparsity": 0.5, "criterion": "bn-scale"}, "'bn-scale' ranks channels; with 'sparsity' use magnitude"),
    ],
)
def test_a_criterion_that_cannot_rank_the_goal_is_refused_with_another(options, message):
    with pytest.raises(ValidationError, match=message):
        PruneConfig(**options)
