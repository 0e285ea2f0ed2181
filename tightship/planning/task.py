"""What a task says once and every step follows: its loss, and that it has no targets of its own."""

from dataclasses import replace

from artifacts.errors import RecipeError
from tightship.planning.steps import REFERENCE, Step
from tightship.recipe.recipe import Recipe

UNTOLD = ("data", "measure", "convert")
"""Kinds of steps that look at no targets."""


def with_task_loss(recipe: Recipe) -> Recipe:
    """The recipe, with the loss of its data in every training that names none."""
    loss = recipe.data.loss
    if loss is None:
        return recipe
    train = recipe.train if recipe.train.loss is not None else recipe.train.model_copy(update={"loss": loss})
    stages = tuple(
        stage
        if stage.config.loss is not None
        else stage.model_copy(update={"config": stage.config.model_copy(update={"loss": loss})})
        for stage in recipe.compress
    )
    return recipe.model_copy(update={"train": train, "compress": stages})


def held_against_reference(steps: list[Step], recipe: Recipe) -> list[Step]:
    """The steps of a task; where it has no targets, all that follow the reference have its network beside them.

    Raises:
        RecipeError: the reference would have to be trained from targets that there are not.
    """
    if recipe.data.targets != "none":
        return steps
    at = [step.name for step in steps].index(REFERENCE)
    for step in steps[: at + 1]:
        if getattr(step.config, "train", None) is not None:
            raise RecipeError(
                "data: targets is none, so nothing says what the reference network should be trained for; give it `weights`."
            )
    return [*steps[: at + 1], *(_beside_reference(step) for step in steps[at + 1 :])]


def _beside_reference(step: Step) -> Step:
    return step if step.kind in UNTOLD else replace(step, needs={**step.needs, REFERENCE: REFERENCE})
