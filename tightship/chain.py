"""Which stage may follow which: the whole chain is checked before any work starts."""

from artifacts.errors import RecipeError
from compress.configs import DistilConfig, PruneConfig
from tightship.recipe import Recipe, Stage

NOT_AFTER: dict[tuple[str, str], str] = {
    ("quantize", "distil"): "int8 weights cannot be trained as floats: put distil before quantize",
    ("quantize", "prune"): "cutting channels would undo the learned ranges: put prune before quantize",
    ("quantize", "quantize"): "a model is quantized once: keep one of them",
    ("distil", "distil"): "the second would train the same model again: keep one of them",
    ("prune-weights", "prune-channels"): "the masks would no longer fit: put the prune with 'macs' first",
}
"""(earlier, later) -> why not, and what to do."""


def label(stage: Stage) -> str:
    """A stage's kind as the rules name it."""
    if isinstance(stage.config, PruneConfig):
        return "prune-channels" if stage.config.macs is not None else "prune-weights"
    return stage.kind


def check_chain(recipe: Recipe) -> None:
    """Refuse a chain that cannot work.

    Raises:
        RecipeError: names both stages and the remedy.
    """
    stages = list(recipe.compress)
    for later_at, later in enumerate(stages):
        for earlier_at, earlier in enumerate(stages[:later_at]):
            for pair in ((label(earlier), label(later)), (earlier.kind, later.kind)):
                if pair in NOT_AFTER:
                    first, second = f"compress[{earlier_at}] {earlier.kind!r}", f"compress[{later_at}] {later.kind!r}"
                    raise RecipeError(f"{second} cannot follow {first}: {NOT_AFTER[pair]}.")
    _check_distil(recipe)


def _check_distil(recipe: Recipe) -> None:
    for at, stage in enumerate(recipe.compress):
        config = stage.config
        if not isinstance(config, DistilConfig):
            continue
        if config.teacher is not None and at > 0:
            before = recipe.compress[at - 1].kind
            raise RecipeError(
                f"compress[{at}] 'distil' with a teacher cannot follow compress[{at - 1}] {before!r}: "
                "it would train the model anew: put distil first, or leave the teacher out."
            )
