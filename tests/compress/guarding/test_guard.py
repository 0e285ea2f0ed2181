"""The search: which candidate comes after which, when it stops, and what it says when nothing holds."""

import numpy as np
import pytest

from artifacts.errors import DataError, ModelError
from compress.configs import QuantizeConfig
from compress.guarding.search import AccuracySearch, Attempt, Candidate
from compress.guarding.sensitivity import LayerSensitivity, Loss, rank, sqnr

LAYERS = ["a", "b", "c", "d", "e", "f"]
FREE = ["minmax", "percentile 99.99", "percentile 99.9", "entropy", "mse"]


def search(drops, config=None, calibrated=True, trainable="no", budget=0.01):
    """A search whose candidates lose what `drops` says of their names: a number, or an error; 0.5 by default."""

    def attempt(candidate: Candidate) -> Attempt:
        found = drops.get(candidate.name, 0.5)
        if isinstance(found, Exception):
            raise found
        return Attempt(0.9 - found, found, 0.001, 1.0, 1000)

    return AccuracySearch(
        config or QuantizeConfig(), budget, attempt, lambda candidate: LAYERS, calibrated=calibrated, trainable=trainable
    )


def names(found):
    return [t.name for t in found.tried]


def test_what_was_asked_for_comes_first_and_is_enough_if_it_holds():
    found = search({"entropy": 0.0}, QuantizeConfig(calibrator="entropy")).run()
    assert (names(found), found.met, found.best.name) == (["entropy"], True, "entropy")


def test_the_cheapest_candidate_that_holds_ends_the_search():
    found = search({"mse": 0.2, "mse, equalized, biases corrected": 0.009, "mse, equalized": 0.1}).run()
    assert names(found) == [*FREE, "mse, equalized", "minmax, equalized", "mse, equalized, biases corrected"]
    assert found.met


def test_the_standard_error_counts_against_a_candidate():
    assert not search({"minmax": 0.0095}).run().tried[0].attempt.at_worst <= 0.01
    assert search({"minmax": 0.009}).run().best.name == "minmax"


def test_layers_are_kept_float_one_two_four_at_most_half_of_them():
    found = search({"minmax, equalized": 0.3}).run()
    base = "minmax, equalized"
    assert names(found)[-4:] == [
        "minmax, equalized, biases corrected",
        f"{base}, 1 layer float",
        f"{base}, 2 layers float",
        "QAT",
    ]
    assert [t.candidate.config.keep_float for t in found.tried[-3:-1]] == [("a",), ("a", "b")]


def test_layers_that_the_recipe_keeps_float_stay_so_and_are_not_counted_twice():
    config = QuantizeConfig(keep_float=("b",))
    kept = [t.candidate.config.keep_float for t in search({}, config).run().tried if isinstance(t.candidate, Candidate)]
    assert all("b" in k for k in kept)
    assert ("b", "a", "c") in kept


def test_nothing_that_holds_is_said_so_with_the_best_and_every_reason():
    found = search({"percentile 99.9, equalized": 0.2, "percentile 99.9": 0.4}).run()
    assert not found.met
    assert found.best.name == "percentile 99.9, equalized"
    assert found.tried[-1].reason == "no"
    assert all(t.attempt or t.reason for t in found.tried)


def test_a_candidate_that_cannot_be_made_is_passed_over_with_its_reason():
    nothing = ModelError("nothing to equalize.")
    found = search({"minmax, equalized": nothing, "entropy": DataError("NaN.")}).run()
    assert [t.reason for t in found.tried if t.name in ("minmax, equalized", "entropy")] == ["NaN.", "nothing to equalize."]
    assert "minmax, biases corrected" in names(found)


def test_where_not_even_the_first_can_be_made_the_reason_is_the_answer():
    with pytest.raises(ModelError, match="nothing could be quantized"):
        search({"minmax": ModelError("nothing could be quantized.")}).run()


def test_calibrators_are_left_to_quantizers_that_do_not_heed_them():
    found = search({}, calibrated=False).run()
    assert names(found)[:3] == ["minmax", "other calibrators", "minmax, equalized"]
    assert "chooses its ranges itself" in found.tried[1].reason


def test_training_is_the_last_candidate_and_equalized_where_one_scale_serves_all_channels():
    assert names(search({}, trainable=None).run())[-1] == "QAT"
    config = QuantizeConfig(per_channel=False)
    assert names(search({}, config, trainable=None).run())[-1] == "QAT, equalized"
    stuck = search({"QAT, equalized": ModelError("ReLU6.")}, config, trainable=None).run()
    assert names(stuck)[-2:] == ["QAT, equalized", "QAT"]


def test_every_candidate_keeps_to_what_the_recipe_says_of_scales():
    config = QuantizeConfig(per_channel=False)
    assert not any(t.candidate.config.per_channel for t in search({}, config).run().tried if isinstance(t.candidate, Candidate))


def test_sensitivity_ranks_the_layer_that_spoils_most_first():
    expected = np.random.default_rng(0).normal(size=(20, 5))
    noise = {"a": 0.01, "b": 1.0, "c": 0.1}

    def lost(kept):
        (alone,) = set(noise) - set(kept)
        return Loss(sqnr(expected, expected + noise[alone] * np.random.default_rng(1).normal(size=expected.shape)))

    ranked = rank(list(noise), lost, lambda share, text: None)
    assert [r.layer for r in ranked] == ["b", "c", "a"]
    assert ranked[0] == LayerSensitivity("b", lost(("a", "c")))
    assert ranked[1].sqnr_db - ranked[0].sqnr_db == pytest.approx(20)


def test_equal_outputs_and_broken_ones_have_a_finite_ratio():
    x = np.ones((3, 2))
    assert sqnr(x, x) == 200
    assert sqnr(x, np.full_like(x, np.nan)) == -200
    assert sqnr(np.zeros_like(x), x) == -200
