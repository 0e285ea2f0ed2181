"""The lock holds every library that `make venv` asks for, in a version that `pyproject.toml` allows."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINES = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
LOCKED = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in LINES)}
EXTRAS = re.search(r"^EXTRAS := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split(",")
ASKED = [*PROJECT["dependencies"], *(r for extra in EXTRAS for r in PROJECT["optional-dependencies"][extra])]


@pytest.mark.parametrize("asked", ASKED)
def test_every_requirement_is_locked_in_its_range(asked):
    requirement = Requirement(asked)
    assert canonicalize_name(requirement.name) in LOCKED, "run `make lock`"
    assert requirement.specifier.contains(LOCKED[canonicalize_name(requirement.name)], prereleases=True)


def test_a_line_is_a_name_and_a_version_that_an_index_has():
    assert not [line for line in LINES if not re.fullmatch(r"[\w.-]+==[\w.!]+", line)]
    assert len(LOCKED) == len(LINES)
    assert (ROOT / "constraints.txt").read_text().startswith("# ")


def test_only_what_cannot_stand_beside_the_others_is_left_out():
    assert set(PROJECT["optional-dependencies"]) - set(EXTRAS) == {"gpu"}
