"""Parity is a gate: outputs that are far, missing, misshapen or no numbers at all fail it."""

import numpy as np
import pytest

from benchmarks.parity.parity import CONVERSION, QUANTIZED, SIMULATED, Case, Tolerance, evaluate

REFERENCE = np.random.default_rng(0).standard_normal((40, 10)).astype(np.float32)
SPREAD = float(REFERENCE.std())


def verdict(found, tolerance=CONVERSION, classes=True, real=True, reference=REFERENCE):
    deployed = {} if found is None else {"output": found}
    return evaluate([Case("some", real, {"output": reference}, deployed)], tolerance, "float", classes)


def test_the_same_outputs_pass():
    record = verdict(REFERENCE.copy())
    assert (record.passed, record.max_error, record.rms_error, record.argmax_agreement) == (True, 0, 0, 1)
    assert (record.against, record.cases, record.first_bad) == ("float", ("some",), None)
    assert "1e" in record.tolerance or "0.001" in record.tolerance


@pytest.mark.parametrize(("distance", "passed"), [(0.9e-3, True), (1.1e-3, False)])
def test_the_largest_difference_decides_in_units_of_the_spread(distance, passed):
    found = REFERENCE.copy()
    found[3, 4] += distance * SPREAD
    record = verdict(found)
    assert record.passed is passed
    assert record.max_error == pytest.approx(distance, rel=1e-2)


@pytest.mark.parametrize(("distance", "passed"), [(1.9e-4, True), (2.1e-4, False)])
def test_the_mean_difference_decides_even_where_no_single_one_is_large(distance, passed):
    record = verdict(REFERENCE + np.float32(distance * SPREAD))
    assert record.passed is passed
    assert record.rms_error == pytest.approx(distance, rel=1e-2)
    if not passed:
        assert "some: output 'output' is off by" in record.first_bad


def test_the_tolerance_scales_with_the_outputs():
    found = REFERENCE.copy()
    found[0, 0] += 0.9e-3 * SPREAD
    for scale in (1e-6, 1e6):
        assert verdict(found * np.float32(scale), reference=REFERENCE * np.float32(scale)).passed


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("tolerance", [CONVERSION, SIMULATED, QUANTIZED, Tolerance(None, 1e30, 0.0)], ids=str)
def test_what_is_no_number_fails_on_either_side(bad, tolerance):
    spoiled = REFERENCE.copy()
    spoiled[0, 0] = bad
    for reference, found in ((REFERENCE, spoiled), (spoiled, REFERENCE), (spoiled, spoiled)):
        record = verdict(found, tolerance, classes=False, reference=reference)
        assert not record.passed
        assert np.isfinite([record.max_error, record.rms_error]).all(), "evidence is JSON, which holds no infinity"


@pytest.mark.parametrize("found", [None, REFERENCE[:, :9], REFERENCE[:39], REFERENCE[None], REFERENCE[:, :1]])
def test_an_output_that_is_missing_or_misshapen_fails(found):
    record = verdict(found)
    assert not record.passed
    assert "has shape" in record.first_bad
    assert record.argmax_agreement == 0


def test_a_second_output_counts_as_much_as_the_first():
    outputs = {"a": REFERENCE, "b": REFERENCE}
    case = Case("two", True, outputs, {"a": REFERENCE, "b": REFERENCE + 1})
    record = evaluate([case], CONVERSION, "float", True)
    assert not record.passed
    assert "'b'" in record.first_bad


def test_every_case_counts_and_the_first_bad_one_is_named():
    good = Case("good", True, {"output": REFERENCE}, {"output": REFERENCE})
    bad = Case("batch 7", True, {"output": REFERENCE}, {"output": REFERENCE * 2})
    record = evaluate([good, bad, good], CONVERSION, "float", True)
    assert not record.passed
    assert record.first_bad.startswith("batch 7")


def test_the_place_of_the_largest_output_decides_among_classes():
    close = np.zeros((40, 2), np.float32)
    close[:, 0] = 1e-5
    close += np.random.default_rng(1).choice([-1, 1], (40, 1)).astype(np.float32)
    flipped = close[:, ::-1].copy()
    wide = Tolerance(1.0, 1.0, 0.9)
    assert not verdict(flipped, wide, reference=close).passed
    assert verdict(flipped, wide, classes=False, reference=close).passed
    made_up = verdict(flipped, wide, real=False, reference=close)
    assert made_up.passed, "the classes of made-up inputs mean nothing"


def test_constant_outputs_are_held_to_an_absolute_limit():
    constant = np.full((4, 3), 5.0, np.float32)
    assert verdict(constant.copy(), reference=constant, classes=False).passed
    assert not verdict(constant + np.float32(0.01), reference=constant, classes=False).passed


def test_nothing_compared_is_nothing_shown():
    assert not evaluate([], CONVERSION, "float", True).passed
    assert not evaluate([Case("none", True, {}, {})], CONVERSION, "float", False).passed


def test_quantized_files_are_given_room_but_not_another_function():
    noise = np.random.default_rng(2).standard_normal(REFERENCE.shape).astype(np.float32) * SPREAD
    assert verdict(REFERENCE + np.float32(0.01) * noise, QUANTIZED).passed
    assert not verdict(noise, QUANTIZED).passed
    assert not verdict(-REFERENCE, QUANTIZED).passed


def test_one_tie_in_a_small_case_is_one_of_all_examples():
    few, found = REFERENCE[:7], REFERENCE[:7].copy()
    found[0] = found[0][::-1]
    tolerance = Tolerance(None, 1.0, 0.97)
    cases = [
        Case("many", True, {"output": REFERENCE}, {"output": REFERENCE}),
        Case("few", True, {"output": few}, {"output": found}),
    ]
    record = evaluate(cases, tolerance, "float", True)
    assert record.argmax_agreement == pytest.approx(46 / 47)
    assert record.passed
    assert not evaluate(cases[1:], tolerance, "float", True).passed
