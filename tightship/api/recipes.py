"""Recipes: read them, and see what a run of one would do."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from tightship.api.tables import Row
    from tightship.recipe.recipe import Recipe
    from tightship.store import Store

PathLike = str | os.PathLike[str]
PATHS = (str, os.PathLike)
if TYPE_CHECKING:
    from tightship.api.tables import Row

    RecipeLike = Recipe | PathLike | Mapping[str, object]
    """A recipe, the YAML file that holds one, or its plain values."""


def load_recipe(recipe: "RecipeLike", folder: PathLike | None = None) -> "Recipe":
    """Read and check a recipe.

    Args:
        recipe: a YAML file, or the same as plain values (dicts, lists, numbers and text).
        folder: where relative paths of plain values start; by default the working folder. Those of a file start beside it.

    Raises:
        RecipeError: one sentence that names the place, the value and the way out.

    >>> import tightship as ts
    >>> recipe = ts.load_recipe("recipe.yaml")
    >>> recipe.name, [target.name for target in recipe.targets]
    ('tiny', ['torch-cpu', 'onnxruntime-cpu'])
    >>> ts.load_recipe({"name": "mine", "modle": {"zoo": "resnet"}})
    Traceback (most recent call last):
    artifacts.errors.RecipeError: recipe: unknown key 'modle'; did you mean 'model'.
    """
    from artifacts.errors import RecipeError
    from tightship.recipe.recipe import Recipe, parse_recipe
    from tightship.recipe.recipe import load_recipe as read

    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, Mapping):
        return parse_recipe(recipe, Path(folder or ".").resolve())
    if not isinstance(recipe, PATHS):
        raise RecipeError(f"a recipe is a file, a mapping or what load_recipe gave; got a {type(recipe).__name__}.")
    return read(Path(recipe))


def is_recipe(given: object) -> "TypeGuard[RecipeLike]":
    """Whether this can be read as a recipe: one, a file, or a mapping."""
    if isinstance(given, (*PATHS, Mapping)):
        return True
    from tightship.recipe.recipe import Recipe

    return isinstance(given, Recipe)


def recipe_schema() -> "Row":
    """The JSON Schema of a recipe as users write it, for editors (draft 2020-12).

    >>> import tightship as ts
    >>> sorted(ts.recipe_schema()["required"])
    ['data', 'gates', 'model', 'name', 'targets']
    """
    from tightship.recipe.schema import recipe_schema as made

    return made()


@dataclass(frozen=True)
class PlannedStep:
    """One stage of a run that was planned.

    Attributes:
        step: its name, such as `check onnxruntime-cpu/fp32`.
        kind: what it does.
        cached: whether the store holds its result (it is verified when it is used).
        key: under which the store keeps it: a digest of all that it depends on.
    """

    step: str
    kind: str
    cached: bool
    key: str


@dataclass(frozen=True)
class PlannedRun:
    """What a run would do.

    Attributes:
        name: the recipe's.
        steps: in order.
        absent: optional targets that are left out, and why each cannot run here.
        elsewhere: optional targets whose files are made and checked, but that run on another system only.
        left_out: rows of the recipe's targets that were not asked for.
        missing: rows that a run would report as failed, and why their target cannot run here: it is not optional.
    """

    name: str
    steps: tuple[PlannedStep, ...]
    absent: Mapping[str, str]
    elsewhere: frozenset[str]
    left_out: tuple[str, ...]
    missing: Mapping[str, str]

    @property
    def exit_code(self) -> int:
        """What a run would exit with in which nothing failed: 0, or 3 where a target is missing that is not optional."""
        return 3 if self.missing else 0

    @property
    def cached(self) -> int:
        """How many steps the store holds."""
        return sum(step.cached for step in self.steps)

    def __str__(self) -> str:
        width = max(len(step.step) for step in self.steps)
        lines = [f"{s.step:<{width}}  {'cached' if s.cached else 'to run'}  {s.key[:12]}" for s in self.steps]
        return "\n".join((f"{'step':<{width}}          key", *lines, "", *self.remarks))

    @property
    def remarks(self) -> tuple[str, ...]:
        """How many steps are cached, and what is not run and why; one line each."""
        lines = [f"{self.cached} of {len(self.steps)} steps are cached."]
        for name in sorted({*self.absent, *self.elsewhere}):
            if name in self.elsewhere:
                lines.append(f"converted, not run: {name}: it runs on another system only")
            else:
                lines.append(f"not run: {name}: {self.absent[name]}")
        lines += [f"will be missing: {name}: {reason}" for name, reason in self.missing.items()]
        return (*lines, *(f"not asked for: {name}" for name in self.left_out))


def plan(recipe: "RecipeLike", *, targets: Sequence[str] = (), store: PathLike | None = None) -> PlannedRun:
    """What a run would do, and what of it is cached; runs nothing.

    Args:
        recipe: a recipe, its file, or its plain values.
        targets: only these rows of its targets, by name, label or `NAME@LABEL`; none: all.
        store: the store's folder; by default $TIGHTSHIP_STORE, else `.tightship` in the working folder.

    Raises:
        RequestError: the recipe asks for something that cannot be, or has no such target.
        TargetUnavailable: no target can run here, or one on which a stage of the chain measures, as far as that is known from
            what is installed; a run asks the devices too.

    >>> import tightship as ts
    >>> planned = ts.plan("recipe.yaml")
    >>> planned.steps[0].step
    'data'
    >>> print(planned.remarks[0])
    15 of 15 steps are cached.
    """
    from artifacts.records.evidence import NotRun
    from benchmarks.machine import describe
    from tightship.pipeline.availability import absent, converted_here, installed
    from tightship.planning.plan import make_plan
    from tightship.planning.stage_order import check_chain
    from tightship.planning.target_selection import row_name, select_targets

    loaded = load_recipe(recipe)
    check_chain(loaded)
    selection = select_targets(loaded, tuple(targets))
    required = list[NotRun]()
    optional = {n.target: n.reason for n in absent(loaded, selection, installed, required)}
    reasons = {n.target: n.reason for n in required}
    elsewhere = converted_here(frozenset(optional))
    made = make_plan(loaded, describe().fingerprint(), frozenset({*optional, *reasons}), elsewhere, selection)
    kept = open_store(store)
    cached, keys = made.cached(kept), made.entry_keys(kept)
    steps = tuple(PlannedStep(s.name, s.kind, cached[s.name], keys[s.name]) for s in made.steps)
    lacking = {name: reason for name, reason in optional.items() if name not in elsewhere}
    missing = {row_name(row): reasons[row.name] for row in selection.rows if row.name in reasons}
    left_out = tuple(row_name(row) for row in selection.left_out)
    return PlannedRun(loaded.name, steps, lacking, elsewhere, left_out, missing)


def open_store(folder: PathLike | None) -> "Store":
    """The store in this folder; by default in $TIGHTSHIP_STORE, else in `.tightship` of the working folder."""
    from tightship.store import Store

    return Store(Path(folder or os.environ.get("TIGHTSHIP_STORE") or ".tightship"))
