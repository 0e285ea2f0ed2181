"""Whether answers depend on the company or on the padding of an example, on programs whose answer is known."""

import numpy as np
import pytest

from benchmarks.parity.parity import Case
from tightship.pipeline.stages.invariance import invariance, notes_of

TOKENS = np.arange(12, dtype=np.int64).reshape(3, 4) + 1
MASK = np.array([[True] * 4, [True, True, False, False], [True, False, False, False]])
INPUTS = {"tokens": TOKENS, "mask": MASK}


def cases(*outputs):
    made = zip((1, 2, 7), outputs, strict=False)
    calls = [Case(f"real, batch {count}", True, {}, {"output": np.asarray(value, float)}) for count, value in made]
    return [Case("real x256", True, {}, {"output": np.zeros(9)}), *calls]


def heeds(inputs):
    """Sums what counts."""
    return {"output": (inputs["tokens"] * inputs["mask"]).sum(1).astype(float)}


def ignores(inputs):
    return {"output": inputs["tokens"].sum(1).astype(float)}


def by_position(inputs):
    """An answer for each position that looks at that position alone."""
    return {"output": inputs["tokens"][..., None] * np.ones(2)}


def test_company_is_what_calls_of_other_sizes_differ_by():
    same = invariance(cases([1, 2, 3], [1, 2, 3], [1, 2, 3]), INPUTS, {}, heeds)
    assert (same.batch, same.padding, notes_of(same)) == (0, None, ())
    other = invariance(cases([1, 2, 3], [1, 2, 3], [1, 2, 5]), INPUTS, {}, heeds)
    assert other.batch == pytest.approx(np.sqrt(4 / 3) / np.std([1, 2, 3]))
    assert "depends on the others in its call" in notes_of(other)[0]
    assert invariance(cases([1, 2, 3])[:2], INPUTS, {}, heeds).batch is None


@pytest.mark.parametrize(("network", "same"), [(heeds, True), (ignores, False), (by_position, True)])
def test_padding_is_what_other_values_there_change(network, same):
    found = invariance(cases([1], [1]), INPUTS, {"tokens": "mask"}, network).padding
    assert (found == 0) == same
    assert np.array_equal(INPUTS["tokens"], TOKENS)
