"""`tightship schema`."""

from tightship.cli.common import emit


def schema() -> None:
    """Print the JSON Schema of a recipe, for editors."""
    from tightship.recipe.schema import recipe_schema

    emit(recipe_schema())
