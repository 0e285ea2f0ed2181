"""How many threads a training gets: what is timed, and that timing it leaves nothing behind."""

import random
import time

import numpy as np
import pytest
import torch
from torch import nn

from compress.configs import TrainConfig
from compress.training import threads
from compress.training.loop import Training, fit, task_loss
from compress.training.threads import candidates, step_seconds, timed, undrawn, using

CONFIG = TrainConfig(epochs=2, batch_size=8, augment=("flip", "crop"), mixup=0.2, samples=200, learning_rate=0.05, ema=0.9)


@pytest.fixture(autouse=True)
def two_threads():
    """Two threads, however many the tests run with."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def fresh():
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(216, 10)
    )  # fmt: skip


def drawn():
    return torch.rand(3).tolist(), np.random.random(3).tolist(), random.random()


def seed():
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)


def test_each_number_is_timed_on_steps_of_the_training(digits):
    seconds = step_seconds(fresh(), task_loss(), Training(digits.train, CONFIG, 9))
    assert list(seconds) == [1, 2]
    assert all(0 < value < 5 for value in seconds.values())
    assert torch.get_num_threads() == 2


def test_a_trial_moves_no_weight_and_no_generator(digits):
    module, before = fresh(), fresh().state_dict()
    seed()
    wanted = drawn()
    seed()
    step_seconds(module, task_loss(), Training(digits.train, CONFIG, 9))
    assert drawn() == wanted
    for name, value in module.named_parameters():
        assert torch.allclose(value, before[name], atol=1e-8), name


def test_a_training_after_a_trial_ends_with_the_very_same_weights(digits):
    left, right = fresh(), fresh()
    training = Training(digits.train, CONFIG, 9)
    fit(left, task_loss(), training)
    step_seconds(fresh(), task_loss(), training)
    fit(right, task_loss(), training)
    assert all(torch.equal(value, right.state_dict()[name]) for name, value in left.state_dict().items())


def test_a_rate_at_which_a_training_would_fail_does_not_fail_its_trial(digits):
    config = CONFIG.model_copy(update={"learning_rate": 1e30, "lr_schedule": "constant"})
    assert step_seconds(fresh(), task_loss(), Training(digits.train, config, 9))


@pytest.mark.parametrize("change", [{"epochs": 1}, {"epochs": 0}, {"accumulate": 8}])
def test_a_short_training_is_not_worth_a_trial(digits, change):
    assert step_seconds(fresh(), task_loss(), Training(digits.train, CONFIG.model_copy(update=change), 9)) == {}


def test_with_one_thread_there_is_no_choice(digits):
    with using(1):
        assert step_seconds(fresh(), task_loss(), Training(digits.train, CONFIG, 9)) == {}


def test_the_number_with_the_shortest_steps_is_seen(monkeypatch):
    monkeypatch.setattr(threads, "SLICE_SECONDS", 0.02)
    calls = []

    def step():
        calls.append(torch.get_num_threads())
        time.sleep(0.002 if torch.get_num_threads() == 1 else 0.01)

    found = timed(step, [1, 2])
    assert 0.002 <= found[1] < found[2]
    assert calls[:2] == [1, 2], "the first steps are not timed"
    monkeypatch.setattr(threads, "HOPELESS", 1e9)
    every = len(calls)
    timed(step, [1, 2])
    assert calls[every:].count(2) > calls[:every].count(2), "a hopeless number gets one turn"


def test_threads_are_as_before_when_a_block_fails():
    def fail():
        with using(1):
            assert torch.get_num_threads() == 1
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert torch.get_num_threads() == 2
    with using(None):
        assert torch.get_num_threads() == 2


def test_generators_stand_where_they_stood_when_a_block_fails():
    seed()
    wanted = drawn()
    seed()

    def fail():
        with undrawn():
            drawn()
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert drawn() == wanted


@pytest.mark.parametrize(("most", "tried"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (8, [1, 2, 4, 8]), (6, [1, 2, 4, 6])])
def test_numbers_double_up_to_the_most(most, tried):
    assert candidates(most) == tried
