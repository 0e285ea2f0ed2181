"""Which layer of a recipe's model should stay in float on a target: asked without a whole run, by the same steps and keys."""

from dataclasses import dataclass

from artifacts.errors import RequestError, TargetUnavailable
from artifacts.records.sensitivity import SensitivityRecord
from benchmarks.machine import describe
from compress.configs import QuantizeConfig
from runtimes.registry import find, running
from tightship.pipeline.availability import availability, unavailable
from tightship.pipeline.execute import execute
from tightship.pipeline.progress import Progress
from tightship.pipeline.stages.results import SensitivityResult
from tightship.planning.artifacts import int8_rows
from tightship.planning.export_options import check_operators
from tightship.planning.plan import make_plan
from tightship.planning.stage_order import check_chain
from tightship.planning.target_selection import TargetSelection, row_name, select_targets
from tightship.recipe.recipe import Recipe
from tightship.recipe.sections import TargetConfig
from tightship.store import Store


@dataclass(frozen=True)
class Ranked:
    """The layers of one int8 file."""

    artifact: str
    found: SensitivityRecord
    cached: bool
    """Whether the store had them."""
    others: tuple[str, ...]
    """Rows of the recipe's targets that could be asked for as well."""


def ranked(recipe: Recipe, store: Store, progress: Progress, target: str | None = None, examples: int | None = None) -> Ranked:
    """Rank the layers of the network as compressed up to `quantize`, in int8 as calibration makes it for a target.

    What the store lacks is made as a run would make it, and found there by a run.

    Args:
        recipe: the recipe; what its accuracy guard or its quantization-aware training would change is left out.
        store: where steps are looked for and kept.
        progress: what is told of them.
        target: a row of its targets, by name, label or NAME@LABEL; none: the first that gets int8 and can run here.
        examples: held-out training examples; none: as the recipe says.

    Raises:
        RequestError: the recipe makes nothing in int8 there, or has no such target.
        TargetUnavailable: the target cannot run here.
        StageCrashed: a stage died; names its log.
    """
    recipe = _only_calibrated(recipe, examples)
    check_chain(recipe)
    check_operators(recipe)
    machine = describe()
    rows = int8_rows(recipe)
    row = _row(recipe, rows, target) if target else _first(rows, store)
    selection = TargetSelection((row.model_copy(update={"precisions": ("int8",), "stock": False}),))
    missing = unavailable(recipe, selection, store, machine)
    if missing:
        raise TargetUnavailable(f"target {row.name!r} cannot run here: {missing[0].reason}; fix it, or ask for another.")
    plan = make_plan(recipe, machine.fingerprint(), selection=selection)
    artifact = next(a for a in plan.artifacts if a.scheme == "int8")
    step = artifact.sensitivity_step
    entries = execute(plan.upto(step), store, progress)
    others = tuple(row_name(other) for other in rows if other is not row)
    found = entries.of(step, SensitivityResult).record
    return Ranked(str(artifact.id), found, entries[step].cached, others)


def _only_calibrated(recipe: Recipe, examples: int | None) -> Recipe:
    """The recipe whose int8 files are made by calibration alone, with sensitivity measured."""
    plain = {"max_drop": None, "qat_epochs": 0}
    stages = tuple(
        stage.model_copy(update={"config": stage.config.model_copy(update=plain)})
        if isinstance(stage.config, QuantizeConfig)
        else stage
        for stage in recipe.compress
    )
    asked = {"sensitivity": True, **({"sensitivity_samples": examples} if examples else {})}
    return recipe.model_copy(update={"compress": stages, "measure": recipe.measure.model_copy(update=asked)})


def _row(recipe: Recipe, rows: list[TargetConfig], name: str) -> TargetConfig:
    """The one row that a name means.

    Raises:
        RequestError: there is none, it gets no int8 file, or there are several.
    """
    chosen = select_targets(recipe, [name]).rows
    fitting = [row for row in chosen if row in rows]
    if not fitting and find(chosen[0].name).quantizer is None:
        raise RequestError(
            f"target {chosen[0].name} has no int8 of its own; ask for one that has: {', '.join(running('int8'))}."
        )
    if not fitting:
        raise RequestError(
            f"the recipe makes no int8 file for {row_name(chosen[0])}; add int8 to its `precisions`, "
            f"or ask for {' or '.join(map(row_name, rows))}."
        )
    if len(fitting) > 1:
        raise RequestError(f"{name!r} means several rows of the recipe's targets; say {' or '.join(map(row_name, fitting))}.")
    return fitting[0]


def _first(rows: list[TargetConfig], store: Store) -> TargetConfig:
    """The first row that can run here; the first of all where none can, so that it says why."""
    machine = describe()
    return next((row for row in rows if availability(find(row.name), store, machine).available), rows[0])
