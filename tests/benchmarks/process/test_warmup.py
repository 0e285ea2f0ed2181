"""Warm-up ends where the latency becomes stable, wherever that is, and is told apart from never."""

import random

import pytest

from benchmarks.process.warmup import settle


@pytest.mark.parametrize("slow", [5, 10, 40, 200])
def test_it_ends_with_the_slow_calls(slow):
    found = settle([1000] * slow + [100] * 2000)
    assert found.settled
    # a window is a fourth of the calls before it, and its median turns when half of it is fast
    assert 0.875 * slow <= found.calls <= max(slow + 5, slow * 1.25)
    assert found.ms == pytest.approx((min(slow, found.calls) * 1000 + max(0, found.calls - slow) * 100) / 1e6)


def test_a_process_that_is_warm_at_once_needs_nothing():
    noise = random.Random(0)
    found = settle([round(100 * noise.uniform(0.98, 1.02)) for _ in range(500)])
    assert (found.calls, found.ms, found.settled) == (0, 0.0, True)


def test_single_slow_calls_do_not_put_it_off():
    times = [100] * 1000
    times[300] = times[301] = times[777] = 100_000
    assert settle(times).calls == 0


def test_a_latency_that_keeps_falling_has_not_settled():
    assert not settle([int(1e6 / (1 + at)) for at in range(400)]).settled


@pytest.mark.parametrize("count", [0, 1, 19])
def test_too_few_calls_say_nothing(count):
    assert not settle([100] * count).settled


def test_the_median_creeps_down_and_stays():
    times = [round(100 + 100 * 0.98**at) for at in range(2000)]
    found = settle(times)
    assert found.settled
    assert 100 <= found.calls <= 220, "0.98 ** 148 is 5 %"
