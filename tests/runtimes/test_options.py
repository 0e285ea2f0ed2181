"""Options of a target: their types and limits, and the sentence that refuses what is none."""

from dataclasses import dataclass
from typing import Literal

import pytest

from artifacts.errors import RequestError
from runtimes.options import MOST, Options, from_text, read_options
from runtimes.registry import TARGETS, find


@dataclass(frozen=True)
class Given(Options):
    switch: bool = True
    choice: Literal["slow", "fast"] = "slow"
    count: int = 1
    limit: int | None = None


def test_what_is_not_said_is_at_its_default_and_is_not_told():
    assert read_options(Given, {}, "a") == Given()
    assert read_options(Given, {"switch": True, "choice": "slow"}, "a").non_default() == {}
    assert read_options(Given, {"limit": 3, "switch": False}, "a").non_default() == {"switch": False, "limit": 3}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"swich": True}, ("target a has no option 'swich'", "did you mean 'switch'", "known: switch, choice, count, limit")),
        ({"zzz": True}, ("no option 'zzz'; known: switch",)),
        ({"choice": "fats"}, ("option choice of target a is 'fats'", "did you mean 'fast'", "known: slow, fast")),
        ({"choice": True}, ("option choice of target a is True", "known: slow, fast")),
        ({"switch": 1}, ("is 1; it is true or false",)),
        ({"switch": "false"}, ("is 'false'; it is true or false",)),
        ({"count": True}, ("whole number from 1 to 1024",)),
        ({"count": 0}, ("is 0; it is a whole number",)),
        ({"count": MOST + 1}, ("is 1025",)),
        ({"count": 2.0}, ("is 2.0",)),
        ({"limit": "2"}, ("is '2'",)),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(given, words):
    with pytest.raises(RequestError) as caught:
        read_options(Given, given, "a")
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("switch", "false", False), ("choice", "fast", "fast"), ("count", "12", 12), ("limit", "3", 3), ("count", "x", "x"),
     ("switch", "0", "0"), ("nothing", "1", "1")],
)  # fmt: skip
def test_text_of_a_command_line_becomes_a_value_of_the_options_type(name, text, value):
    found = from_text(Given, name, text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_takes_no_options_and_refuses_one_that_it_lacks(name):
    assert find(name).read_options({}).non_default() == {}
    with pytest.raises(RequestError, match=f"target {name} has no option 'turbo'"):
        find(name).read_options({"turbo": True})
