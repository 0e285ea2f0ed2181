"""Which stage may follow which: the whole chain is checked before any work starts."""

from artifacts.errors import RecipeError, nearest
from compress.configs import PruneConfig
from runtimes.registry import find
from tightship.planning.artifacts import int8_rows
from tightship.recipe.recipe import Recipe, Stage

NOT_AFTER: dict[tuple[str, str], str] = {
    ("quantize", "distil"): "int8 weights cannot be trained as floats: put distil before quantize",
    ("quantize", "prune"): "cutting channels would undo the learned ranges: put prune before quantize",
    ("quantize", "factorize"): "splitting layers would undo the learned ranges: put factorize before quantize",
    ("quantize", "palettize"): "int8 weights hold other values than a palette's: keep one of them",
    ("palettize", "distil"): "training would move the weights off their palettes: put distil before palettize",
    ("palettize", "prune"): "pruning would train the weights off their palettes: put prune before palettize",
    ("palettize", "factorize"): "the pairs would hold other values than the palettes: put factorize before palettize",
    ("palettize", "palettize"): "the second would give the same weights other palettes: keep one of them",
    ("palettize", "quantize"): "rounding the palettes' values to int8 would store a byte a weight again: keep one of them",
    ("prune-weights", "factorize"): "a pair of layers would not keep the zeros: put factorize before the prune with 'sparsity'",
    ("prune-n-of-m", "factorize"): "a pair of layers would not keep the zeros: put factorize before the prune with 'n_of_m'",
    ("quantize", "quantize"): "a model is quantized once: keep one of them",
    ("prune-n-of-m", "prune-channels"): "cutting channels would break the N:M pattern: put the prune with 'n_of_m' last",
    ("prune-n-of-m", "prune-blocks"): "cutting channels would break the N:M pattern: put the prune with 'n_of_m' last",
    ("prune-weights", "prune-blocks"): "the masks of removed blocks would not fit: put the prune that zeroes weights last",
}
"""(earlier, later) -> why not, and what to do."""


def label(stage: Stage) -> str:
    """A stage's kind as the rules name it."""
    if isinstance(stage.config, PruneConfig):
        if stage.config.n_of_m is not None:
            return "prune-n-of-m"
        if stage.config.sparsity is not None:
            return "prune-weights"
        return "prune-channels" if stage.config.channel_goal else "prune-blocks"
    return stage.kind


def check_chain(recipe: Recipe) -> None:
    """Refuse a chain that cannot work.

    Raises:
        RecipeError: names both stages and the remedy.
        RequestError: sensitivity is to be measured, and nothing is in int8.
    """
    stages = list(recipe.compress)
    for later_at, later in enumerate(stages):
        for earlier_at, earlier in enumerate(stages[:later_at]):
            for pair in ((label(earlier), label(later)), (earlier.kind, later.kind)):
                if pair in NOT_AFTER:
                    first, second = f"compress[{earlier_at}] {earlier.kind!r}", f"compress[{later_at}] {later.kind!r}"
                    raise RecipeError(f"{second} cannot follow {first}: {NOT_AFTER[pair]}.")
    _check_latency(recipe)
    if recipe.measure.sensitivity:
        int8_rows(recipe)


def _check_latency(recipe: Recipe) -> None:
    """What is pruned for a target must be deployed there, in the precision that it was measured in."""
    names = [t.name for t in recipe.targets]
    for at, stage in enumerate(recipe.compress):
        config = stage.config
        target = config.target if isinstance(config, PruneConfig) else getattr(config, "latency_target", None)
        if target is None:
            continue
        if target not in names:
            raise RecipeError(
                f"compress[{at}] {stage.kind!r} measures latency on {target!r}, which is not among the recipe's targets; "
                f"{nearest(target, names)}."
            )
        if isinstance(config, PruneConfig) and config.latency_precision == "int8" and find(target).quantizer is None:
            raise RecipeError(
                f"compress[{at}] 'prune' measures int8 on {target!r}, which runs none; set latency_precision: fp32."
            )
