"""Looks share one error rate, and a comparison ends when it knows."""

import numpy as np
import pytest

from benchmarks.timing import compare as module
from benchmarks.timing.compare import ERROR, compare, looks
from benchmarks.timing.measure import Measured, MeasurePlan
from benchmarks.timing.statistics import paired_ratio

PLAN = MeasurePlan(processes=5, blocks=4, block_seconds=0.0, block_calls=4, warm_seconds=0.0, throughput_batch=1)


@pytest.mark.parametrize(("first", "limit", "counts"), [(5, 20, [5, 10, 20]), (5, 5, [5]), (3, 10, [3, 6, 10]), (8, 4, [8])])
def test_looks_double_and_their_errors_sum_to_the_whole(first, limit, counts):
    found = looks(first, max(first, limit))
    assert [look.processes for look in found] == counts
    assert sum(look.error for look in found) == pytest.approx(ERROR)
    assert [look.error for look in found] == sorted(look.error for look in found)


@pytest.fixture
def made_up(monkeypatch, tmp_path):
    """Compares two engines whose process medians are drawn, not measured."""
    asked = []

    def run(ratio, scatter, seed=0, **limits):
        draw = np.random.default_rng(seed)

        def measure(engines, inputs, plan, folder, progress, watch):
            asked.append(plan)
            pace = np.exp(draw.normal(0, 0.2, plan.processes))
            values = {"a": pace * np.exp(draw.normal(0, scatter, plan.processes))}
            values["b"] = pace * np.exp(draw.normal(0, scatter, plan.processes)) / ratio
            return {name: Measured([[float(v)] for v in values[name]]) for name in engines}

        monkeypatch.setattr(module, "measure", measure)
        return compare(None, None, {}, PLAN, tmp_path, **{"limit": 20, **limits})

    monkeypatch.setattr(module.NoiseMonitor, "look_first", lambda self: None)
    run.asked = asked
    return run


def test_a_plain_difference_is_known_at_the_first_look(made_up):
    found = made_up(1.5, 0.005)
    assert (found.verdict, len(found.a.rounds_ms), found.needed) == ("faster", 5, None)
    assert [plan.processes for plan in made_up.asked] == [5]
    assert made_up(1 / 1.5, 0.005).verdict == "slower"


def test_a_small_one_takes_more_pairs_in_another_order(made_up):
    found = made_up(1.03, 0.02, seed=1)
    assert found.verdict == "faster"
    assert len(found.a.rounds_ms) > 5
    assert len({plan.seed for plan in made_up.asked}) == len(made_up.asked)


def test_too_wide_says_how_many_would_do(made_up):
    found = made_up(1.0, 0.08, seed=2)
    assert (found.verdict, len(found.a.rounds_ms)) == ("cannot tell", 20)
    assert found.needed is not None
    assert found.needed > 20
    assert made_up(1.0, 0.0001, limit=5).verdict == "no difference shown"


@pytest.mark.parametrize("scatter", [0.003, 0.01, 0.03])
def test_equal_files_are_called_different_in_at_most_one_of_twenty(scatter):
    """2000 comparisons with the looks of `compare`; the bound holds with two standard deviations of the count to spare."""
    draw = np.random.default_rng(3)
    wrong = 0
    for _ in range(2000):
        a, b = np.exp(draw.normal(0, scatter, (2, 20)))
        for look in looks(5, 20):
            verdict = paired_ratio(a[: look.processes], b[: look.processes], look.error).decide()
            if verdict != "cannot tell":
                break
        wrong += verdict in ("faster", "slower")
    assert wrong <= 100 + 20


def test_two_real_files_are_compared(onnx_engine, tmp_path):
    engines = onnx_engine(2.0), onnx_engine(3.0)
    found = compare(*engines, {"x": np.ones((1, 3), np.float32)}, MeasurePlan(**{**vars(PLAN), "processes": 2}), tmp_path, 2)
    assert len(found.a.rounds_ms) == len(found.b.rounds_ms) == 2
    assert found.ratio.low <= found.ratio.ratio <= found.ratio.high
    assert found.b.noise is not None
    assert found.b.noise.turns == 8
