"""Distillation from layers: what is compared, what is trained, and that nothing stays behind."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from artifacts.errors import ModelError
from compress.configs import DistilConfig
from compress.distillation.activation_hooks import ActivationHooks
from compress.distillation.attention import AttentionLoss, energy
from compress.distillation.distil import distillation_objective
from compress.distillation.features import FeatureLoss
from compress.training.loop import Training, fit, tensors
from zoo.models import build

LAYERS = {"layer1": "layer1", "layer2.0": "layer2", "layer3": "layer3"}


class Net(nn.Module):
    """Two convolutions; the activation after the first works in place."""

    def __init__(self, width=4, stride=1):
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, stride=stride, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.head = nn.Linear(width, 10)
        self.unused = nn.Linear(2, 2)

    def forward(self, image):
        return self.head(self.second(self.act(self.first(image))).mean((2, 3)))


def net(width=4, stride=1, seed=0):
    torch.manual_seed(seed)
    return Net(width, stride)


@pytest.fixture
def example(digits):
    return tensors(digits.train, np.arange(4))[0]


def config(method, **options):
    return DistilConfig(**{"method": method, "layers": {"first": "first", "second": "second"}, "epochs": 1, **options})


def term(student, teacher, example, wanted):
    """The value that the layers alone add to the loss."""
    targets = torch.zeros(4).long()
    with distillation_objective(student, teacher, wanted, example, 0) as (loss, _):
        full = loss(student, example, targets)
    with distillation_objective(student, teacher, DistilConfig(kd_weight=wanted.kd_weight), example, 0) as (loss, _):
        return (full - loss(student, example, targets)).item()


@pytest.mark.parametrize("method", ["features", "attention"])
def test_a_student_equal_to_its_teacher_has_nothing_to_learn_from_layers(example, method):
    same, other = net(seed=1), net(seed=2)
    assert term(same, net(seed=1), example, config(method)) == pytest.approx(0, abs=1e-6)
    assert term(other, net(seed=1), example, config(method)) > 1e-4


def test_the_feature_term_is_the_mean_squared_difference_of_the_layers_own_outputs(example):
    student, teacher, image = net(seed=1), net(seed=2), example["image"]
    first = [m.first(image) for m in (student, teacher)]  # before the activation that works in place
    second = [m.second(F.relu(x)) for m, x in zip((student, teacher), first, strict=True)]
    by_hand = (F.mse_loss(*first) + F.mse_loss(*second)) / 2
    assert term(student, teacher, example, config("features")) == pytest.approx(by_hand.item(), rel=1e-4)
    assert term(student, teacher, example, config("features", feature_weight=3)) == pytest.approx(3 * by_hand.item(), rel=1e-4)


def test_the_attention_term_is_the_one_of_the_paper(example):
    student, teacher, image = net(width=4, seed=1), net(width=8, seed=2), example["image"]
    maps = []
    for module in (student, teacher):
        squared = module.first(image).double().square().mean(1).flatten(1)
        maps.append(squared / squared.square().sum(1, keepdim=True).sqrt())
    by_hand = (maps[0] - maps[1]).square().mean()
    wanted = config("attention", layers={"first": "first"})
    assert term(student, teacher, example, wanted) == pytest.approx(1000 * by_hand.item(), rel=1e-3)


def test_adapters_stand_where_channels_differ_and_the_larger_map_is_pooled(example):
    student, teacher = net(width=4, stride=2), net(width=6)
    with distillation_objective(student, teacher, config("features"), example, 0) as (loss, extra):
        assert isinstance(extra, FeatureLoss)
        assert [tuple(a.weight.shape) for a in extra.adapters] == [(6, 4, 1, 1)] * 2
        loss(student, example, torch.zeros(4).long()).backward()
        assert all(p.grad is not None for p in extra.parameters())
    with distillation_objective(student, net(width=4), config("features"), example, 0) as (_, extra):
        assert extra is None, "equal channels need no adapter"


def test_adapters_are_linear_for_vectors_and_sequences():
    made = FeatureLoss(
        [("a", "b"), ("c", "d")], [(torch.ones(2, 3), torch.ones(2, 5)), (torch.ones(2, 7, 3), torch.ones(2, 7, 4))]
    )
    assert [tuple(a.weight.shape) for a in made.adapters] == [(5, 3), (4, 3)]
    assert made([(torch.ones(2, 3), torch.ones(2, 5)), (torch.ones(2, 7, 3), torch.ones(2, 7, 4))]).ndim == 0


def test_adapters_do_not_depend_on_the_draws_made_before_and_make_none(example):
    weights = []
    for seed in (3, 4):
        torch.manual_seed(seed)
        student, teacher, before = Net(), Net(width=6), torch.get_rng_state()
        with distillation_objective(student, teacher, config("features"), example, 11) as (_, extra):
            weights.append([p.clone() for p in extra.parameters()])
        assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_after_training_no_hook_and_no_adapter_is_left(digits, tiny, example):
    torch.manual_seed(0)
    student = build(tiny.ref)
    names = list(student.state_dict())
    wide = build(type(tiny.ref)("resnet", options={**tiny.ref.options, "width": 16}))
    wanted = DistilConfig(method="features", layers=LAYERS, epochs=1, samples=128)
    with distillation_objective(student, wide, wanted, example, 0) as (loss, extra):
        start = [p.clone() for p in extra.parameters()]
        assert any(m._forward_hooks for m in student.modules())
        fit(student, loss, Training(digits.train, wanted, 0, extra=extra))
        assert all(not torch.equal(p, q) for p, q in zip(start, extra.parameters(), strict=True)), "adapters are trained"
    assert not any(m._forward_hooks for m in student.modules())
    assert list(student.state_dict()) == names
    assert not any(m._forward_hooks for m in wide.modules())


def test_hooks_go_even_if_training_fails(digits, example):
    student = net()
    with pytest.raises(RuntimeError, match="stop"), distillation_objective(student, net(), config("features"), example, 0):
        raise RuntimeError("stop")
    assert not any(m._forward_hooks for m in student.modules())


@pytest.mark.parametrize("method", ["features", "attention"])
def test_training_brings_the_layers_together(digits, example, method):
    student, teacher = net(seed=1), net(seed=2)
    wanted = config(method, epochs=6, learning_rate=0.05, kd_weight=0.0, samples=300)
    before = term(student, teacher, example, wanted)
    with distillation_objective(student, teacher, wanted, example, 0) as (loss, extra):
        fit(student, loss, Training(digits.train, wanted, 0, extra=extra))
    assert term(student, teacher, example, wanted) < 0.5 * before


def test_an_interrupted_run_with_adapters_ends_with_the_very_same_weights(digits, example, tmp_path):
    wanted = config("features", epochs=2, samples=128, batch_size=32, ema=0.9)

    class Killed(Exception):
        pass

    def run(state, stop):
        student = net(seed=1)

        def progress(share, message):
            if share == stop:
                raise Killed

        with distillation_objective(student, net(width=6, seed=2), wanted, example, 0) as (loss, extra):
            training = Training(digits.train, wanted, 0, state, progress, every_seconds=0, extra=extra)
            try:
                fit(student, loss, training)
            except Killed:
                return run(state, 2.0)
        return student

    whole, broken = run(None, 2.0), run(tmp_path / "state", 0.5)
    assert all(torch.equal(v, broken.state_dict()[k]) for k, v in whole.state_dict().items())


def test_the_teacher_is_run_once_a_step(digits, example):
    runs = []

    class Counted(Net):
        def forward(self, image):
            runs.append(len(image))
            return super().forward(image)

    for kd_weight in (0.0, 0.7):
        student = net()
        with distillation_objective(student, Counted(), config("features", kd_weight=kd_weight), example, 0) as (loss, _):
            runs.clear()
            loss(student, example, torch.zeros(4).long())
            assert len(runs) == 1


REFUSED = [
    ({"frist": "first"}, "features", "the student has no layer 'frist'; did you mean 'first'"),
    ({"first": "secnd"}, "features", "the teacher has no layer 'secnd'; did you mean 'second'"),
    ({"unused": "unused"}, "features", "the student did not run its layer 'unused'"),
    ({"first": "head"}, "features", "'first' of the student .4, 4, 8, 8. and 'head' of the teacher .4, 10. cannot be compared"),
    ({"head": "head"}, "attention", "layer 'head' of the student gives .4, 10.: use method features"),
]


@pytest.mark.parametrize(("layers", "method", "sentence"), REFUSED)
def test_layers_that_cannot_be_compared_are_refused_by_name(example, layers, method, sentence):
    student = net()
    with (
        pytest.raises(ModelError, match=sentence),
        distillation_objective(student, net(), config(method, layers=layers), example, 0),
    ):
        pass
    assert not any(m._forward_hooks for m in student.modules())


def test_a_tap_reads_the_first_tensor_of_a_layer_with_several_outputs():
    module = nn.Sequential(nn.LSTM(3, 5, batch_first=True))
    with ActivationHooks(module, ["0"], "teacher") as taps:
        module(torch.zeros(2, 7, 3))
        assert taps["0"].shape == (2, 7, 5)


def test_attention_maps_add_up_over_channels_only():
    assert energy(torch.full((2, 3, 4, 5), 2.0)).unique().tolist() == [4.0]
    assert energy(torch.ones(2, 3, 4, 5)).shape == (2, 1, 4, 5)
    assert AttentionLoss([("a", "b")], [(torch.ones(1, 2, 4, 4), torch.ones(1, 3, 8, 8))])(
        [(torch.ones(1, 2, 4, 4), torch.ones(1, 3, 8, 8))]
    ).item() == pytest.approx(0, abs=1e-7)
