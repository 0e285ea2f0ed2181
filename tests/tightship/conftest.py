"""What the targets of this machine are, and recipes from text for the tests that read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tightship.recipe.recipe import Recipe, load_recipe


@pytest.fixture(scope="session")
def target_rows(cli: Callable[..., Any], once_for_all: Callable[..., Any]) -> list[dict[str, Any]]:
    """What `tightship targets --json` says of this machine."""
    rows: list[dict[str, Any]] = once_for_all("targets", lambda folder: json.loads(cli("targets", "--json").stdout))
    assert all(set(row) == {"target", "available", "reason"} and row["reason"] for row in rows)
    return rows


@pytest.fixture
def recipe_from(tmp_path: Path) -> Callable[[str], Recipe]:
    """Reads a recipe from text, by way of a file."""

    def read(text: str) -> Recipe:
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return load_recipe(path)

    return read
