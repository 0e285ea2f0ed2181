"""Single weights: local and global shares, N:M patterns, and lottery tickets that start again from where they began."""

from functools import partial

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

import compress.pruning.steps
from compress.configs import PruneConfig
from compress.counting import prunable
from compress.pruning.nm import left_whole, nm_mask
from compress.pruning.schedules import progress_after
from compress.pruning.steps import prune
from compress.pruning.unstructured import mask_to, rewound
from compress.training.loop import Training

QUICK = {"finetune_epochs": 1, "samples": 128}


def blocks_of_four(weight):
    """(blocks, 4) weights along the input channels."""
    return weight.detach().movedim(1, -1).reshape(-1, 4)


def test_a_local_ranking_zeroes_the_same_share_of_every_layer(tiny):
    local, free = (mask_to(tiny, 0.6, "magnitude", 0, local=local) for local in (True, False))
    for weight in prunable(local.module).values():
        assert int((weight == 0).sum()) == int(0.6 * weight.numel())
    shares = [float((w == 0).float().mean()) for w in prunable(free.module).values()]
    assert max(shares) - min(shares) > 0.1


def test_local_ranking_is_reached_through_the_config(digits, tiny):
    made = prune(tiny, PruneConfig(sparsity=0.5, ranking="local", schedule="one-shot", **QUICK), digits.train, seed=0).model
    assert all(int((w == 0).sum()) == w.numel() // 2 for w in prunable(made.module).values())


def test_the_two_largest_of_every_four_input_channels_are_kept_at_each_place_of_the_kernel():
    torch.manual_seed(0)
    weight = torch.randn(5, 8, 3, 3)
    kept = nm_mask(weight.abs(), 2, 4)
    assert kept.shape == weight.shape
    assert kept.is_contiguous()
    for out in range(5):
        for row in range(3):
            for column in range(3):
                for start in (0, 4):
                    four = weight[out, start : start + 4, row, column].abs()
                    chosen = set(kept[out, start : start + 4, row, column].nonzero().flatten().tolist())
                    assert chosen == set(four.topk(2).indices.tolist())


def test_the_pattern_is_what_sparse_tensor_cores_store():
    stored = pytest.importorskip("torch.sparse._semi_structured_conversions")
    torch.manual_seed(0)
    weight = torch.randn(32, 64, 3, 3).half()

    def survives(weight):
        matrix = weight.permute(0, 2, 3, 1).reshape(32, -1)  # (out, k · k · in): the product of a channels-last convolution
        compressed = stored.sparse_semi_structured_from_dense_cutlass(matrix)
        return torch.equal(stored.sparse_semi_structured_to_dense_cutlass(*compressed), matrix)

    assert survives(weight * nm_mask(weight.abs(), 2, 4))
    assert not survives(weight)


def test_ties_still_keep_exactly_n():
    assert nm_mask(torch.zeros(6, 8), 1, 4).sum(1).tolist() == [2] * 6


@pytest.mark.parametrize("steps", [1, 2])
def test_n_of_m_holds_after_fine_tuning_and_what_does_not_divide_is_named(digits, tiny, steps):
    made = prune(tiny, PruneConfig(n_of_m="2:4", steps=steps, **QUICK), digits.train, seed=0)
    whole = made.details.not_cut
    assert whole == {"conv1.weight": "its 1 input channels (of each group) are not a multiple of 4"}
    weights = prunable(made.model.module)
    assert int((weights["conv1.weight"] == 0).sum()) == 0
    for name, weight in weights.items():
        if name not in whole:
            assert int((blocks_of_four(weight) != 0).sum(1).max()) == 2
            assert made.model.masks[name].float().mean() == 0.5
    found = [step.sparsity for step in made.details.steps]
    masked = sum(m.numel() for m in made.model.masks.values())
    assert found[-1] == pytest.approx(0.5 * masked / sum(w.numel() for w in weights.values()), abs=1e-6)
    assert found == sorted(found)


def test_depthwise_and_transposed_layers_are_left_whole():
    module = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.ConvTranspose2d(8, 8, 3), nn.Conv2d(8, 8, 3, groups=2))
    assert set(left_whole(module, 4)) == {"0.weight", "1.weight"}


def test_n_of_m_on_masked_weights_keeps_them_masked(digits, tiny):
    sparse = mask_to(tiny, 0.8, "magnitude", 0)
    made = prune(sparse, PruneConfig(n_of_m="2:4", **QUICK), digits.train, seed=0).model
    for name, mask in sparse.masks.items():
        assert not made.module.get_parameter(name)[~mask].any()
    assert int((blocks_of_four(made.module.layer2[0].conv1.weight) != 0).sum(1).max()) <= 2
    assert "conv1.weight" in made.masks


def test_a_ticket_is_where_it_began_but_for_the_weights_that_are_gone(digits, tiny):
    trained = prune(tiny, PruneConfig(sparsity=0.7, **QUICK), digits.train, seed=0).model
    ticket = rewound(tiny, trained)
    before = tiny.module.state_dict()
    for name, value in ticket.module.state_dict().items():
        mask = trained.masks.get(name)
        assert torch.equal(value, before[name] if mask is None else before[name] * mask), name


def test_every_round_of_a_lottery_trains_from_the_start_weights(digits, tiny, monkeypatch):
    seen, fit = [], compress.pruning.steps.fit

    def watched(module, loss, training):
        seen.append({n: p.detach().clone() for n, p in module.named_parameters()})
        fit(module, loss, training)

    monkeypatch.setattr(compress.pruning.steps, "fit", watched)
    config = PruneConfig(sparsity=0.75, steps=2, schedule="linear", rewind=True, **QUICK)
    made = prune(tiny, config, digits.train, seed=0)
    assert len(seen) == 3  # two rounds and the ticket's own training
    for weights, share in zip(seen, (0, 0.375, 0.75), strict=True):
        moved = {n for n, p in tiny.module.named_parameters() if not torch.equal(p, weights[n])}
        assert moved <= set(prunable(tiny.module))
        flat = torch.cat([weights[n].flatten() for n in prunable(tiny.module)])
        old = torch.cat([w.detach().flatten() for w in prunable(tiny.module).values()])
        assert float((flat == 0).float().mean()) == pytest.approx(share, abs=1e-3)
        assert torch.equal(flat[flat != 0], old[flat != 0])
    assert [s.sparsity for s in made.details.steps] == pytest.approx([0.375, 0.75], abs=1e-3)
    assert not torch.equal(made.model.module.linear.bias, tiny.module.linear.bias)


def test_the_trained_weights_choose_the_ticket_not_the_start_weights(digits, tiny):
    config = PruneConfig(sparsity=0.5, rewind=True, finetune_epochs=2, learning_rate=0.2, samples=256)
    made = prune(tiny, config, digits.train, seed=0).model
    at_start = mask_to(tiny, 0.5, "magnitude", 0)
    assert any(not torch.equal(made.masks[name], mask) for name, mask in at_start.masks.items())


class Killed(Exception):
    """Stands for kill -9."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        PruneConfig(sparsity=0.6, steps=2, rewind=True, **QUICK),
        PruneConfig(macs=0.6, align=1, regularize="group-lasso", **QUICK),
        PruneConfig(sparsity=0.6, criterion="snip", schedule="one-shot", **QUICK),
    ],
    ids=["lottery", "regularized", "snip"],
)
def test_a_killed_run_of_each_kind_ends_with_the_same_weights(digits, tiny, tmp_path, monkeypatch, config):
    monkeypatch.setattr(compress.pruning.steps, "Training", partial(Training, every_seconds=0))
    undisturbed = prune(tiny, config, digits.train, seed=4)
    left = [0.2, 0.5, 0.9]

    def progress(share, message):
        assert 0 < share <= 1
        if left and share >= left[0]:
            left.pop(0)
            raise Killed(message)

    for _ in range(4):
        try:
            made = prune(tiny, config, digits.train, seed=4, work=tmp_path, progress=progress)
        except Killed:
            continue
    assert not left
    wanted = undisturbed.model.module.state_dict()
    assert all(torch.equal(v, wanted[k]) for k, v in made.model.module.state_dict().items())
    assert made.details == undisturbed.details


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_of_m": "4:4"}, "prunes nothing: N must be smaller than M"),
        ({"n_of_m": "two:4"}, "n_of_m"),
        ({"n_of_m": 124}, "put it in quotes"),
        ({"n_of_m": "2:4", "ranking": "local"}, "leave out 'ranking'"),
        ({"n_of_m": "2:4", "sparsity": 0.5}, "give exactly one of"),
        ({"macs": 0.5, "rewind": True}, "'rewind' .* needs 'sparsity' or 'n_of_m'"),
        ({"sparsity": 0.5, "rewind": True, "finetune_epochs": 0}, "finetune_epochs"),
        ({"sparsity": 0.5, "regularize": "bn-scale"}, "'regularize' prepares channels"),
        ({"sparsity": 0.5, "schedule": "one-shot", "steps": 3}, "one-shot takes one step, not 3"),
    ],
)
def test_options_that_the_goal_has_no_use_for_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        PruneConfig(**options)


def test_one_shot_goes_all_the_way():
    assert progress_after(1, 1, "one-shot") == 1.0


def test_pruning_an_untrained_network_with_snip_leaves_one_that_learns(digits, tiny):
    from zoo.models import build

    torch.manual_seed(1)
    fresh = type(tiny)(build(tiny.ref).eval(), tiny.ref, tiny.signature)
    config = PruneConfig(sparsity=0.8, criterion="snip", schedule="one-shot", kd_weight=0, finetune_epochs=4, learning_rate=0.1)
    made = prune(fresh, config, digits.train, seed=0).model
    batch, targets = digits.test.batch(np.arange(300))
    with torch.no_grad():
        right = made.module(torch.from_numpy(batch["image"])).argmax(1).numpy() == targets
    assert right.mean() > 0.8
