"""`tightship schema`."""

import tightship as ts
from tightship.cli.common import emit


def schema() -> None:
    """Print the JSON Schema of a recipe, for editors."""
    emit(ts.recipe_schema())
