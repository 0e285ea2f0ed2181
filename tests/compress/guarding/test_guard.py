"""The ladder: which rung comes after which, when it stops, and what it says when nothing holds."""

import numpy as np
import pytest

from artifacts.errors import DataError, ModelError
from compress.configs import QuantizeConfig
from compress.guarding.search import Attempt, Ladder, Rung
from compress.guarding.sensitivity import LayerSensitivity, Loss, rank, sqnr

LAYERS = ["a", "b", "c", "d", "e", "f"]
FREE = ["minmax", "percentile 99.99", "percentile 99.9", "entropy", "mse"]


def ladder(drops, config=None, calibrated=True, trainable="no", budget=0.01):
    """A ladder whose rungs lose what `drops` says of their names: a number, or an error; 0.5 by default."""

    def attempt(rung: Rung) -> Attempt:
        found = drops.get(rung.name, 0.5)
        if isinstance(found, Exception):
            raise found
        return Attempt(0.9 - found, found, 0.001, 1.0, 1000)

    return Ladder(config or QuantizeConfig(), budget, attempt, lambda rung: LAYERS, calibrated=calibrated, trainable=trainable)


def names(climbed):
    return [t.name for t in climbed.tried]


def test_what_was_asked_for_comes_first_and_is_enough_if_it_holds():
    climbed = ladder({"entropy": 0.0}, QuantizeConfig(calibrator="entropy")).climb()
    assert (names(climbed), climbed.met, climbed.best.name) == (["entropy"], True, "entropy")


def test_the_cheapest_rung_that_holds_ends_the_climb():
    climbed = ladder({"mse": 0.2, "mse, equalised, biases corrected": 0.009, "mse, equalised": 0.1}).climb()
    assert names(climbed) == [*FREE, "mse, equalised", "minmax, equalised", "mse, equalised, biases corrected"]
    assert climbed.met


def test_the_standard_error_counts_against_a_rung():
    assert not ladder({"minmax": 0.0095}).climb().tried[0].attempt.at_worst <= 0.01
    assert ladder({"minmax": 0.009}).climb().best.name == "minmax"


def test_layers_are_kept_float_one_two_four_at_most_half_of_them():
    climbed = ladder({"minmax, equalised": 0.3}).climb()
    base = "minmax, equalised"
    assert names(climbed)[-4:] == [
        "minmax, equalised, biases corrected",
        f"{base}, 1 layer float",
        f"{base}, 2 layers float",
        "QAT",
    ]
    assert [t.rung.config.keep_float for t in climbed.tried[-3:-1]] == [("a",), ("a", "b")]


def test_layers_that_the_recipe_keeps_float_stay_so_and_are_not_counted_twice():
    config = QuantizeConfig(keep_float=("b",))
    kept = [t.rung.config.keep_float for t in ladder({}, config).climb().tried if isinstance(t.rung, Rung)]
    assert all("b" in k for k in kept)
    assert ("b", "a", "c") in kept


def test_nothing_that_holds_is_said_so_with_the_best_and_every_reason():
    climbed = ladder({"percentile 99.9, equalised": 0.2, "percentile 99.9": 0.4}).climb()
    assert not climbed.met
    assert climbed.best.name == "percentile 99.9, equalised"
    assert climbed.tried[-1].reason == "no"
    assert all(t.attempt or t.reason for t in climbed.tried)


def test_a_rung_that_cannot_be_made_is_passed_over_with_its_reason():
    nothing = ModelError("nothing to equalise.")
    climbed = ladder({"minmax, equalised": nothing, "entropy": DataError("NaN.")}).climb()
    assert [t.reason for t in climbed.tried if t.name in ("minmax, equalised", "entropy")] == ["NaN.", "nothing to equalise."]
    assert "minmax, biases corrected" in names(climbed)


def test_where_not_even_the_first_can_be_made_the_reason_is_the_answer():
    with pytest.raises(ModelError, match="nothing could be quantized"):
        ladder({"minmax": ModelError("nothing could be quantized.")}).climb()


def test_calibrators_are_left_to_quantizers_that_do_not_heed_them():
    climbed = ladder({}, calibrated=False).climb()
    assert names(climbed)[:3] == ["minmax", "other calibrators", "minmax, equalised"]
    assert "chooses its ranges itself" in climbed.tried[1].reason


def test_training_is_the_last_rung_and_equalised_where_one_scale_serves_all_channels():
    assert names(ladder({}, trainable=None).climb())[-1] == "QAT"
    config = QuantizeConfig(per_channel=False)
    assert names(ladder({}, config, trainable=None).climb())[-1] == "QAT, equalised"
    stuck = ladder({"QAT, equalised": ModelError("ReLU6.")}, config, trainable=None).climb()
    assert names(stuck)[-2:] == ["QAT, equalised", "QAT"]


def test_every_rung_keeps_to_what_the_recipe_says_of_scales():
    config = QuantizeConfig(per_channel=False)
    assert not any(t.rung.config.per_channel for t in ladder({}, config).climb().tried if isinstance(t.rung, Rung))


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
