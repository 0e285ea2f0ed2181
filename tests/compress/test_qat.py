"""Quantization-aware training: rounded as the runtime rounds, frozen late, resumable, masks kept."""

from functools import partial

import numpy as np
import pytest
import torch

import compress.qat
from artifacts.types import TorchModel
from compress import checkpoint
from compress.configs import QuantizeConfig
from compress.fakequant import FakeQuantize, affine, weight_fake_quantize
from compress.fold import fold
from compress.pruning.unstructured import mask_to
from compress.qat import observe, prepare, quantized_nodes, simulate, train_quantized
from compress.training.loop import Training, subset

CONFIG = QuantizeConfig(calibration_samples=64, qat_epochs=2, samples=256)


class Killed(Exception):
    """Stands for kill -9."""


@pytest.fixture(scope="module")
def trained(digits, tiny_b) -> TorchModel:
    return train_quantized(tiny_b, CONFIG, digits.train, seed=0)


def test_zero_is_always_on_the_grid():
    assert affine(0.5, 2.0) == (2 / 255, 0)
    assert affine(-3.0, -1.0) == (3 / 255, 255)
    scale, point = affine(-1.0, 2.0)
    assert (0 - point) * scale <= -1 + scale
    assert affine(0.0, 0.0)[0] > 0


def test_weights_are_rounded_to_127_levels_either_side_per_channel():
    weight = torch.tensor([[0.5, -1.0, 0.003], [0.0, 0.0, 0.0], [100.0, 50.0, 0.1]])
    made = weight_fake_quantize(weight)
    grid = made / torch.tensor([[1 / 127], [1.0], [100 / 127]])
    torch.testing.assert_close(grid, grid.round(), atol=1e-4, rtol=0)
    assert made[0, 1] == -1.0
    assert not made[1].any()
    assert (made - weight).abs().max() <= 100 / 254 + 1e-6


def test_gradients_pass_straight_through_inside_the_range():
    x = torch.tensor([-1.0, 0.3, 0.9, 5.0], requires_grad=True)
    FakeQuantize((0.0, 1.0)).eval()(x).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 0.0]


def test_ranges_follow_the_data_until_they_are_frozen():
    part = FakeQuantize((0.0, 1.0), momentum=0.5).train()
    part(torch.tensor([-2.0, 3.0]))
    assert part.limits == (-1.0, 2.0)
    part.frozen.fill_(True)
    part(torch.tensor([-9.0, 9.0]))
    part.eval()
    part(torch.tensor([-9.0, 9.0]))
    assert part.limits == (-1.0, 2.0)


def test_ranges_stand_still_in_the_second_half_of_the_training(digits, tiny, monkeypatch):
    seen = []

    def watching(*args, on_epoch, **options):
        def watched(module, share):
            on_epoch(module, share)
            parts = [m for m in module.modules() if isinstance(m, FakeQuantize)]
            seen.append((share, {bool(m.frozen) for m in parts}, [m.limits for m in parts]))

        return Training(*args, on_epoch=watched, **options)

    monkeypatch.setattr(compress.qat, "Training", watching)
    made = train_quantized(tiny, CONFIG.model_copy(update={"qat_epochs": 4}), digits.train, seed=0)
    assert [(share, frozen) for share, frozen, _ in seen] == [(0, {False}), (0.25, {False}), (0.5, {True}), (0.75, {True})]
    assert seen[0][2] != seen[1][2] != seen[2][2] == seen[3][2] == list(made.ranges.values())


def test_a_killed_training_ends_with_the_same_weights_and_ranges(digits, tiny, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(compress.qat, "Training", partial(Training, every_seconds=0))
    for stop in (3, 6, 99):

        def progress(share, message, stop=stop):
            if round(share * 8) >= stop:
                raise Killed

        try:
            made = train_quantized(tiny, CONFIG, digits.train, seed=0, work=tmp_path, progress=progress)
        except Killed:
            assert stop < 99
    assert made.ranges == trained.ranges
    wanted = trained.module.state_dict()
    assert all(torch.equal(v, wanted[k]) for k, v in made.module.state_dict().items())


def test_every_layer_and_every_result_that_is_rounded_is_simulated(tiny, trained):
    graph = fold(tiny.module, tiny.signature)
    names = {n.name for n in quantized_nodes(graph.graph)}
    assert set(trained.ranges) == names
    assert "image" in names
    made = prepare(graph, dict(trained.ranges))
    assert sum(n.target is weight_fake_quantize for n in made.graph.nodes) == 10
    assert sum(isinstance(m, FakeQuantize) for m in made.modules()) == len(names)


def test_observing_covers_every_example_and_changes_nothing(digits, tiny):
    graph = fold(tiny.module, tiny.signature)
    before = {k: v.clone() for k, v in graph.state_dict().items()}
    indices = subset(digits.train, 200, 0)
    found = observe(graph, digits.train, indices)
    images = digits.train.batch(indices)[0]["image"]
    assert found["image"] == (float(images.min()), float(images.max()))
    assert all(torch.equal(v, before[k]) for k, v in graph.state_dict().items())


def test_the_trained_network_is_stored_and_loaded_with_its_ranges(trained, examples, tmp_path):
    checkpoint.save(trained, tmp_path)
    again = checkpoint.load(tmp_path)
    assert again.ranges == trained.ranges
    with torch.no_grad():
        assert torch.equal(again.module(examples), trained.module(examples))
        assert torch.equal(simulate(again)(examples), simulate(trained)(examples))


def test_simulating_stays_close_to_the_float_network(trained, examples):
    with torch.no_grad():
        plain, rounded = trained.module(examples), simulate(trained)(examples)
    assert 0 < float((plain - rounded).std()) < 0.2 * float(plain.std())


def test_zeroed_weights_stay_zero_through_quantization_aware_training(digits, tiny):
    masked = mask_to(tiny, 0.5, "magnitude", 0)
    made = train_quantized(masked, CONFIG, digits.train, seed=0)
    weights = dict(made.module.named_parameters())
    assert set(masked.masks) <= set(weights)
    assert all(not weights[name][~mask].any() for name, mask in masked.masks.items())
    assert np.isclose(sum(int((~m).sum()) for m in masked.masks.values()) / sum(m.numel() for m in masked.masks.values()), 0.5)
