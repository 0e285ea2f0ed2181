"""McNemar's exact test against the coin tosses that it is."""

from math import comb

import numpy as np
import pytest

from artifacts.arrays import save_arrays
from artifacts.errors import DataError
from benchmarks.mcnemar import mcnemar, read_correct


def pair(both, only_a, only_b, neither):
    a = [True] * both + [True] * only_a + [False] * only_b + [False] * neither
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    return np.array(a), np.array(b)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 1), (1, 9), (9, 1), (5, 5), (12, 30), (0, 6)])
def test_the_p_value_is_that_of_a_fair_coin(only_a, only_b):
    tosses = only_a + only_b
    tail = sum(comb(tosses, k) for k in range(min(only_a, only_b) + 1)) / 2**tosses
    found = mcnemar(*pair(50, only_a, only_b, 7))
    assert found.p_value == pytest.approx(min(1.0, 2 * tail))
    assert found.difference == pytest.approx((only_b - only_a) / (57 + tosses))
    assert (found.only_a, found.only_b) == (only_a, only_b)


def test_verdicts():
    assert mcnemar(*pair(50, 1, 9, 0)).verdict == "more accurate"
    assert mcnemar(*pair(50, 9, 1, 0)).verdict == "less accurate"
    assert mcnemar(*pair(50, 8, 12, 0)).verdict == "no difference shown"
    same = mcnemar(*pair(50, 0, 0, 9))
    assert (same.p_value, same.verdict, same.difference) == (1.0, "no difference shown", 0.0)


def test_it_is_wrong_no_more_often_than_it_says():
    draw = np.random.default_rng(0)
    wrong = sum(mcnemar(draw.random(400) < 0.9, draw.random(400) < 0.9).verdict != "no difference shown" for _ in range(500))
    assert wrong <= 25 + 12, "5 % of 500, and 2.5 standard deviations of that count"


def test_other_examples_are_refused(tmp_path):
    with pytest.raises(DataError, match="same examples"):
        mcnemar(np.ones(3, bool), np.ones(4, bool))
    with pytest.raises(DataError, match="same examples"):
        mcnemar(np.ones(0, bool), np.ones(0, bool))


def test_it_reads_what_a_run_stored(tmp_path):
    assert read_correct(tmp_path / "none.npz") is None
    save_arrays(tmp_path / "a.npz", {"correct": np.array([1, 0, 1], np.uint8)})
    np.testing.assert_array_equal(read_correct(tmp_path / "a.npz"), [True, False, True])
    save_arrays(tmp_path / "b.npz", {"x": np.zeros(3)})
    with pytest.raises(DataError, match=r"b\.npz"):
        read_correct(tmp_path / "b.npz")
