"""Loops of calls: what is fed back, what is refused, and how drift is summed, on programs of a line."""

import numpy as np
import pytest

from artifacts.errors import ModelError, RequestError
from benchmarks.process.loop import Loop, unroll
from tightship.pipeline.stages.measuring.loop import drift

FIRST = {"state": np.ones((2, 3), np.float32), "x": np.full((2, 1), 2.0, np.float32)}


def double(inputs):
    return {"output": inputs["state"].sum(1), "next": inputs["state"] * inputs["x"]}


def test_each_step_is_fed_what_the_step_before_gave():
    made = unroll(double, FIRST, Loop(4, {"state": "next"}), "output", None)
    assert np.array(made.outputs).tolist() == [[3, 3], [6, 6], [12, 12], [24, 24]]
    assert made.seconds > 0
    assert (FIRST["state"] == 1).all(), "the caller's inputs are left as they are"


def test_a_callable_makes_inputs_of_outputs_and_comes_after_what_is_fed():
    seen = []

    def following(inputs, outputs, step):
        seen.append(step)
        return {"x": inputs["x"] + 1, "state": np.float64(outputs["next"] * 0 + step)}

    made = unroll(double, FIRST, Loop(3, {"state": "next"}), "next", following)
    assert [float(value[0, 0]) for value in made.outputs] == [2.0, 0.0, 4.0]
    assert seen == [0, 1], "nothing is made after the last step"
    assert made.outputs[-1].dtype == np.float32


@pytest.mark.parametrize(
    ("feed", "following", "watched", "said"),
    [
        ({"state": "nxt"}, None, "output", "'nxt', which there is not; did you mean 'next'"),
        ({"stat": "next"}, None, "output", "does not take; did you mean 'state'"),
        ({"state": "output"}, None, "output", r"feeds 'state' \(2,\) after step 1, and it takes \(2, 3\)"),
        ({"state": "next"}, None, "outputs", "watches output 'outputs'"),
        ({}, lambda inputs, outputs, step: {"y": 1}, "output", "an input 'y'"),
    ],
)
def test_what_cannot_be_fed_is_refused_in_one_sentence(feed, following, watched, said):
    with pytest.raises(ModelError, match=said):
        unroll(double, FIRST, Loop(3, feed), watched, following)


def test_a_callable_that_is_not_there_is_named():
    assert Loop(2, {"a": "b"}).function() is None
    with pytest.raises(RequestError, match="cannot import 'nowhere' of loop"):
        Loop(2, next="nowhere:f").function()


def test_drift_is_that_of_each_step():
    wanted = np.array([[[1.0, -1.0], [-1.0, 1.0]], [[3.0, -3.0], [-3.0, 3.0]]])
    found = wanted + np.array([0.5, 1.5])[:, None, None]
    assert drift(wanted, found) == ((0.5, 0.5), (1.0, 1.0))
    assert drift(wanted, -wanted)[1] == (0.0, 0.0)
    assert drift(np.zeros((1, 4)), np.ones((1, 4)))[0] == (1.0,), "without spread it is the difference itself"
