"""The options of the training loop, each held against the formula or the plain loop that it stands for."""

from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from artifacts.errors import DataError, RequestError
from compress.configs import FinetuneConfig, QuantizeConfig, TrainConfig
from compress.distillation.distil import distillation_loss, distillation_term
from compress.qat import simulate, train_quantized
from compress.training.devices import accelerator_for, resolved
from compress.training.holdout import Score, hold_out
from compress.training.loop import Training, fit, predict, rate, task_loss, task_term
from zoo.models import build
from zoo.splits import ArraySplit

PLAIN = {"samples": 160, "batch_size": 32, "lr_schedule": "constant", "momentum": 0.0, "weight_decay": 0.0}


def small():
    torch.manual_seed(7)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


class Killed(Exception):
    """Stands for kill -9."""


class Noisy(nn.Module):
    """Draws random numbers as it trains, and keeps statistics."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.3), nn.Flatten())
        self.head = nn.Linear(216, 10)

    def forward(self, image):
        return self.head(self.body(image))


def noisy():
    torch.manual_seed(5)
    return Noisy()


def every_state(digits, module, **options):
    """The states of the network after each update, as they were without any average."""
    states = [{k: v.clone() for k, v in module.state_dict().items()}]

    def progress(share, message):
        states.append({k: v.clone() for k, v in module.state_dict().items()})

    fit(module, task_loss(), Training(digits.train, TrainConfig(epochs=1, **options), 3, progress=progress))
    return states


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_the_average_is_the_one_computed_by_hand_buffers_included(digits, decay):
    plain, averaged = noisy(), noisy()
    states = every_state(digits, plain, **PLAIN)
    fit(averaged, task_loss(), Training(digits.train, TrainConfig(epochs=1, ema=decay, **PLAIN), 3))
    assert len(states) == 6
    by_hand = {k: v.double() for k, v in states[0].items()}
    for n, state in enumerate(states[1:]):
        kept = min(decay, (1 + n) / (10 + n))
        by_hand = {k: kept * by_hand[k] + (1 - kept) * v.double() for k, v in state.items()}
    found = averaged.state_dict()
    assert not torch.equal(found["head.weight"], plain.head.weight)
    for name in ("head.weight", "body.1.running_mean", "body.1.running_var", "body.1.weight"):
        assert torch.allclose(found[name].double(), by_hand[name], rtol=1e-5, atol=1e-7), name
    assert found["body.1.num_batches_tracked"].item() == 5, "a counter is copied"


def test_masked_weights_are_zero_in_the_average_too(digits):
    module = small()
    mask = torch.rand(module[1].weight.shape) > 0.5
    assert module[1].weight[~mask].abs().sum() > 0, "the average starts from weights that are not masked yet"
    config = TrainConfig(epochs=1, samples=128, ema=0.999)
    fit(module, task_loss(), Training(digits.train, config, 0, masks={"1.weight": mask}))
    assert not module[1].weight[~mask].any()
    assert module[1].weight[mask].all()


OPTIONS = {
    "everything": {"ema": 0.9, "accumulate": 3, "mixup": 0.3, "cutmix": 1.0, "clip_norm": 1.0, "holdout": 0.2, "patience": 2},
    "bf16": {"precision": "bf16", "ema": 0.9, "optimizer": "adamw", "learning_rate": 0.003},
    "best state": {"holdout": 0.3, "lr_schedule": "step", "warmup": 0.1},
}


@pytest.mark.parametrize("stops", [[1], [2, 4]])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_whatever_the_options_an_interrupted_run_ends_with_the_very_same_weights(digits, tmp_path, options, stops):
    config = TrainConfig(**{"epochs": 3, "batch_size": 16, "samples": 200, "augment": ("flip",), **options})
    undisturbed, shares = noisy(), []
    fit(undisturbed, task_loss(), Training(digits.train, config, 9, progress=lambda share, _: shares.append(share)))
    for stop in [*(shares[at] for at in stops), 2.0]:

        def progress(share, message, stop=stop):
            if share == stop:
                raise Killed

        module = noisy()
        try:
            fit(module, task_loss(), Training(digits.train, config, 9, tmp_path / "made" / "state", progress, every_seconds=0))
        except Killed:
            torch.manual_seed(torch.seed())
            np.random.seed()
    assert all(torch.equal(v, undisturbed.state_dict()[k]) for k, v in module.state_dict().items())


def test_accumulated_batches_make_the_update_of_one_large_batch(digits):
    whole, parts = small(), small()
    options = {**PLAIN, "epochs": 2, "samples": 128}
    fit(whole, task_loss(), Training(digits.train, TrainConfig(**{**options, "batch_size": 64}), 0))
    fit(parts, task_loss(), Training(digits.train, TrainConfig(**{**options, "batch_size": 16, "accumulate": 4}), 0))
    assert all(torch.allclose(p, q, atol=1e-6) for p, q in zip(whole.parameters(), parts.parameters(), strict=True))


def test_the_last_batches_of_an_epoch_are_an_update_of_full_weight(digits):
    steps = []
    options = {**PLAIN, "epochs": 1, "samples": 80, "batch_size": 16, "accumulate": 4}
    config, module = TrainConfig(**options), small()
    fit(module, task_loss(), Training(digits.train, config, 0, progress=lambda share, message: steps.append(share)))
    assert steps == [0.5, 1.0], "four batches, then the one that is left"
    order = np.random.default_rng([0, 0]).permutation(80)
    chosen = np.sort(np.random.default_rng(0).permutation(len(digits.train))[:80])[order]
    by_hand = small()
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=config.learning_rate)
    for group in (chosen[:64], chosen[64:]):
        images, targets = digits.train.batch(group)
        optimizer.zero_grad()
        nn.functional.cross_entropy(by_hand(torch.from_numpy(images["image"])), torch.from_numpy(targets)).backward()
        optimizer.step()
    assert all(torch.allclose(p, q, atol=1e-6) for p, q in zip(module.parameters(), by_hand.parameters(), strict=True))


def test_no_update_is_longer_than_the_clipped_gradient(digits):
    module = small()
    config = TrainConfig(**{**PLAIN, "epochs": 1, "learning_rate": 1.0, "clip_norm": 0.05})
    states = every_state(digits, module, **config.model_dump(exclude={"epochs"}))
    lengths = [sum(float((after[k] - before[k]).square().sum()) for k in after) ** 0.5 for before, after in pairwise(states)]
    assert max(lengths) == pytest.approx(0.05, rel=1e-3)
    assert max(lengths) <= 0.05001


def test_bfloat16_learns_what_float32_learns(digits):
    scores, weights = [], []
    for precision in ("fp32", "bf16"):
        torch.manual_seed(0)
        module = small()
        fit(module, task_loss(), Training(digits.train, TrainConfig(epochs=6, precision=precision, learning_rate=0.1), 0))
        scores.append((predict(module, digits.test).argmax(1) == digits.test.targets).mean())
        weights.append(module[1].weight.detach())
        assert module[1].weight.dtype == torch.float32
        assert "forward" not in vars(module), "the network itself is not wrapped"
    assert scores[0] > 0.9
    assert abs(scores[1] - scores[0]) < 0.02
    assert not torch.equal(*weights), "the second was not trained in bfloat16"


def test_teacher_and_student_run_in_low_precision_and_the_loss_in_float32(digits):
    seen = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(64, 10)

        def forward(self, image):
            seen.append(self.layer(image.flatten(1)))
            return seen[-1]

    inner, values = distillation_loss(Spy(), 0.5, 4.0), []

    def loss(module, inputs, targets):
        value = inner(module, inputs, targets)
        with torch.autocast("cpu", enabled=False):
            teacher, student = (x.float() for x in seen)
            exact = 0.5 * distillation_term(student, teacher, 4.0) + 0.5 * task_term({"output": student}, targets)
        values.append((value.item(), exact.item()))
        return value

    fit(Spy(), loss, Training(digits.train, TrainConfig(epochs=1, samples=32, batch_size=32, precision="bf16"), 0))
    assert [x.dtype for x in seen] == [torch.bfloat16, torch.bfloat16]
    assert values[0][0] == values[0][1]


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_bfloat16_only_where_the_processor_has_instructions_for_it(digits, monkeypatch, native):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    assert accelerator_for("auto").mixed_precision == ("bf16" if native else "no")
    assert resolved("bf16") == "bf16"


def test_images_laid_out_channels_last_train_the_same_network_and_leave_it_as_it_came():
    images = np.random.default_rng(0).standard_normal((64, 3, 8, 8)).astype(np.float32)
    split, seen, made = ArraySplit({"x": images}, np.arange(64) % 2), [], []
    for channels_last in (False, True):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2))
        module[0].register_forward_hook(lambda m, x, y: seen.append((x[0].stride(1), m.weight.stride(1))))
        config = TrainConfig(epochs=2, batch_size=16, channels_last=channels_last)
        fit(module, task_loss(), Training(split, config, 0))
        assert module[0].weight.is_contiguous()
        made.append(module[0].weight.detach())
    assert (seen[0], seen[-1]) == ((64, 9), (1, 1))
    assert torch.allclose(*made, atol=1e-5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU trains in fp16")
def test_a_precision_that_the_device_lacks_is_refused(digits):
    with pytest.raises(RequestError, match=r"'fp16' needs a GPU .* use bf16 or fp32"):
        fit(small(), task_loss(), Training(digits.train, TrainConfig(epochs=1, precision="fp16"), 0))


def test_schedules_warm_up_and_step_where_they_say():
    step = TrainConfig(lr_schedule="step", learning_rate=1.0, milestones=(0.75, 0.5), gamma=0.1)
    assert [round(rate(step, share), 6) for share in (0, 0.49, 0.5, 0.74, 0.75, 1)] == [1, 1, 0.1, 0.1, 0.01, 0.01]
    warm = TrainConfig(lr_schedule="cosine", learning_rate=1.0, warmup=0.2)
    assert [round(rate(warm, share), 6) for share in (0, 0.1, 0.2, 0.6, 1)] == [0.04, 0.52, 1.0, 0.5, 0.0]
    cold = TrainConfig(lr_schedule="one-cycle", learning_rate=1.0, warmup=0.0)
    assert rate(cold, 0.0) == 1.0
    assert rate(TrainConfig(lr_schedule="constant", learning_rate=1.0, warmup=0.5), 0.75) == 1.0


def test_held_out_examples_are_never_trained_on_nor_come_from_the_test_set(digits):
    seen = []

    class Watched:
        def __len__(self):
            return len(digits.train)

        def batch(self, indices):
            seen.append(set(indices.tolist()))
            return digits.train.batch(indices)

        def fingerprint(self):
            return ""

    config = TrainConfig(epochs=2, samples=100, batch_size=10, holdout=0.2)
    fit(small(), task_loss(), Training(Watched(), config, 4))
    held = next(s for s in seen if len(s) == 20)
    trained = set().union(*(s for s in seen if len(s) == 10))
    assert not held & trained
    assert len(held | trained) == 100


def test_a_held_out_share_leaves_at_least_one_example_on_each_side():
    kept, held = hold_out(np.arange(3), 0.01, 0)
    assert (len(kept), len(held)) == (2, 1)
    kept, held = hold_out(np.arange(3), 0.99, 0)
    assert (len(kept), len(held)) == (1, 2)
    with pytest.raises(DataError, match="leaves none to train on"):
        hold_out(np.arange(1), 0.5, 0)


def diverging(digits):
    """A loss that is the task's own for two epochs and then drives the network away."""
    task, calls = task_loss(), []

    def loss(module, inputs, targets):
        calls.append(1)
        return task(module, inputs, targets) * (1 if len(calls) <= 20 else -0.1)

    return loss, calls


def test_training_stops_when_patience_ends_and_keeps_the_best_state(digits):
    loss, calls = diverging(digits)
    module, messages = small(), []
    config = TrainConfig(
        epochs=30, samples=200, batch_size=16, holdout=0.2, patience=3, lr_schedule="constant", learning_rate=0.05
    )
    fit(module, loss, Training(digits.train, config, 0, progress=lambda share, message: messages.append((share, message))))
    assert len(calls) < 30 * 10
    share, message = messages[-1]
    assert share == 1.0
    assert "no better score in 3 epochs" in message
    scored = [float(m.split("top1 ")[1].split(",")[0]) for _, m in messages if "held-out" in m]
    _, held = hold_out(np.sort(np.random.default_rng(0).permutation(len(digits.train))[:200]), 0.2, 0)
    now = (predict(module, digits.train, indices=held).argmax(1) == digits.train.batch(held)[1]).mean()
    assert now == pytest.approx(max(scored), abs=1e-4)
    assert now > scored[-1], "the last state was worse"


def test_a_run_killed_while_its_patience_wears_out_stops_where_it_would_have(digits, tmp_path):
    config = TrainConfig(epochs=30, samples=64, batch_size=16, holdout=0.5, patience=3, learning_rate=1e-9, clip_norm=1e-3)
    told = []
    fit(small(), task_loss(), Training(digits.train, config, 0, progress=lambda share, message: told.append(share)))
    assert len(told) == 4 * 2 + 1, "one epoch that scores, three that do not, and the news that it is over"
    for stop in (told[5], 2.0):
        again = []

        def progress(share, message, stop=stop, again=again):
            again.append(share)
            if share == stop:
                raise Killed

        training = Training(digits.train, config, 0, tmp_path / "state", progress, every_seconds=0)
        with suppress(Killed):
            fit(small(), task_loss(), training)
    assert again == told[5:]


def test_the_metric_decides_and_the_loss_breaks_ties():
    best = Score(0.9, 0.5, "top1")
    assert Score(0.91, 9.0, "top1").beats(best)
    assert Score(0.9, 0.4, "top1").beats(best)
    assert not Score(0.9, 0.5, "top1").beats(best)
    assert best.beats(None)


def test_without_classes_the_held_out_loss_is_the_score():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 4)).astype(np.float32)
    split = ArraySplit({"x": x}, (x @ np.float32([[1], [2], [-1], [0]])).astype(np.float32))
    module, messages = nn.Linear(4, 1), []
    config = TrainConfig(epochs=5, holdout=0.25, batch_size=16)
    fit(module, task_loss(), Training(split, config, 0, progress=lambda share, message: messages.append(message)))
    assert "held-out negative loss -" in messages[-1]


def test_progress_tells_loss_score_and_time_left(digits):
    messages = []
    config = TrainConfig(epochs=2, samples=64, batch_size=16, holdout=0.25)
    fit(small(), task_loss(), Training(digits.train, config, 0, progress=lambda share, message: messages.append(message)))
    assert messages[0].startswith("epoch 1/2 loss 2.")
    assert messages[0].endswith(" left")
    assert "held-out" not in messages[0], "nothing has been scored yet"
    assert "held-out top1 0." in messages[-1]
    assert messages[-1].endswith(", 0:00 left")


def test_fine_tuning_hands_its_options_to_the_loop():
    given = {
        "learning_rate": 0.01, "batch_size": 8, "augment": ("flip",), "samples": 9, "precision": "bf16", "ema": 0.9,
        "accumulate": 2, "mixup": 0.2, "cutmix": 0.5, "clip_norm": 1.0, "label_smoothing": 0.1, "holdout": 0.1,
        "patience": 2, "warmup": 0.05,
    }  # fmt: skip
    made = FinetuneConfig(**given, lr_schedule="cosine").training(4)
    assert (made.epochs, made.lr_schedule) == (4, "cosine")
    assert {name: getattr(made, name) for name in given} == given


def test_patience_without_a_score_to_wait_for_is_refused():
    with pytest.raises(ValidationError, match="set 'holdout' too"):
        TrainConfig(patience=3)


def test_a_whole_network_trains_with_all_options_at_once(digits, tiny):
    torch.manual_seed(0)
    module = build(tiny.ref)
    config = TrainConfig(
        epochs=2, samples=400, batch_size=32, accumulate=2, ema=0.9, mixup=0.1, clip_norm=5, holdout=0.1, precision="bf16"
    )
    fit(module, task_loss(0.1), Training(digits.train, config, 0))
    assert not module.training
    assert np.isfinite(predict(module, digits.test)).all()


def test_quantization_aware_training_runs_in_low_precision_with_an_average(digits, tiny):
    config = QuantizeConfig(qat_epochs=1, samples=128, calibration_samples=64, precision="bf16", ema=0.9)
    trained = train_quantized(tiny, config, digits.train, seed=0)
    accuracy = (predict(simulate(trained), digits.test).argmax(1) == digits.test.targets).mean()
    before = (predict(tiny.module, digits.test).argmax(1) == digits.test.targets).mean()
    assert accuracy > before - 0.05
    assert all(np.isfinite(limits).all() and limits[0] <= limits[1] for limits in trained.ranges.values())
