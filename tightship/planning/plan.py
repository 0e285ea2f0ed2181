"""The plan: every step of a run, in order, with the key under which its result is stored. Imports nothing heavy."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from artifacts.files import sha256_json
from tightship.planning.artifacts import plan_artifacts
from tightship.planning.compression import compression_steps
from tightship.planning.deployment import check_step, export_step, loop_step, measure_step, sensitivity_step
from tightship.planning.export_options import check_dims
from tightship.planning.plugins import given
from tightship.planning.step_configs import MeasureStep
from tightship.planning.steps import ArtifactPlan, Step
from tightship.planning.target_selection import TargetSelection
from tightship.planning.task import held_against_reference, with_task_loss
from tightship.planning.threads import is_open, question, remembered
from tightship.recipe.recipe import Recipe
from tightship.store import Store, code_digest, versions


@dataclass(frozen=True)
class Plan:
    """All steps of a recipe, with their keys."""

    recipe: Recipe
    steps: tuple[Step, ...]
    contents: Mapping[str, str]
    """By step, a digest of all that decides its result but for the steps that it needs and its number of threads."""
    artifacts: tuple[ArtifactPlan, ...]
    converted: tuple[ArtifactPlan, ...] = ()
    """Files of targets that run on another system only: made and checked, and not run."""

    def key(self, step: Step, keys: Mapping[str, str], threads: int | None = None) -> str:
        """The key of a step, given those of the steps that it needs, and the number of threads where it is left open."""
        needs = {name: keys[other] for name, other in step.needs.items()}
        return sha256_json([self.contents[step.name], needs, threads or question(step)])

    @cached_property
    def keys(self) -> Mapping[str, str]:
        """The key of every step, in which a number of threads that is left open stands as a question."""
        keys: dict[str, str] = {}
        for step in self.steps:
            keys[step.name] = self.key(step, keys)
        return keys

    def entry_keys(self, store: Store) -> dict[str, str]:
        """The key of every step's entry, as far as the store remembers the numbers of threads that were chosen."""
        keys: dict[str, str] = {}
        for step in self.steps:
            asked = self.key(step, keys)
            choice = remembered(asked, store) if is_open(step) else None
            keys[step.name] = self.key(step, keys, choice.threads) if choice else asked
        return keys

    def cached(self, store: Store) -> dict[str, bool]:
        """Which steps have an entry in the store (it is verified when it is used)."""
        return {name: store.entry_folder(key).is_dir() for name, key in self.entry_keys(store).items()}

    def without(self, lost: Collection[str], steps: Collection[str] = ()) -> "Plan":
        """The plan without some artifacts, by id: their steps go, and the others are measured without them.

        So do some `steps` more, that no other step needs.
        """
        left = [a for a in (*self.artifacts, *self.converted) if str(a.id) in lost]
        gone = {*steps, *(name for a in left for name in (a.export_step, a.check_step, a.sensitivity_step, a.loop_step))}
        kept = tuple(self._measured_without(s, lost) if s.kind == "measure" else s for s in self.steps if s.name not in gone)
        artifacts, converted = (tuple(a for a in group if str(a.id) not in lost) for group in (self.artifacts, self.converted))
        contents = {**self.contents, **_contents([s for s in kept if s.kind == "measure"], given(self.recipe))}
        return replace(self, steps=kept, contents=contents, artifacts=artifacts, converted=converted)

    @staticmethod
    def _measured_without(step: Step, lost: Collection[str]) -> Step:
        assert isinstance(step.config, MeasureStep)
        opened = {name: options for name, options in step.config.artifacts.items() if name not in lost}
        needs = {name: other for name, other in step.needs.items() if name not in lost}
        return replace(step, config=step.config.model_copy(update={"artifacts": opened}), needs=needs)

    def upto(self, name: str) -> "Plan":
        """The plan cut down to one step and all that it needs."""
        wanted = {name}
        for step in reversed(self.steps):
            wanted |= set(step.needs.values()) if step.name in wanted else set()
        return replace(self, steps=tuple(s for s in self.steps if s.name in wanted))


def make_plan(
    recipe: Recipe,
    machine: str,
    skipped: frozenset[str] = frozenset(),
    converted: frozenset[str] = frozenset(),
    selection: TargetSelection | None = None,
) -> Plan:
    """The steps of a recipe on a machine, without the targets in `skipped`; of those, the `converted` get their files.

    Where only some rows of its targets are in the `selection`, the network is made as the whole recipe says.
    """
    check_dims(recipe)
    recipe = with_task_loss(recipe)
    steps, float_model, trained = compression_steps(recipe, machine)
    shown = recipe.model_copy(update={"targets": selection.rows}) if selection else recipe
    planned = plan_artifacts(shown, float_model, trained, skipped - converted)
    artifacts = tuple(a for a in planned if a.target not in converted)
    conversions = tuple(a for a in planned if a.target in converted)
    for artifact in artifacts:
        export = export_step(artifact, recipe)
        steps += [export, check_step(artifact, export, recipe)]
    steps += [export_step(artifact, recipe) for artifact in conversions]
    steps.append(measure_step(artifacts, recipe, machine))
    if recipe.measure.sensitivity:
        ranked = [a for a in artifacts if a.scheme == "int8" and a.role == "compressed"]
        steps += [sensitivity_step(a, export_step(a, recipe), recipe) for a in ranked]
    if recipe.measure.loop is not None:
        steps += [loop_step(a, export_step(a, recipe), recipe, machine) for a in artifacts]
    steps = held_against_reference(steps, recipe)
    return Plan(recipe, tuple(steps), _contents(steps, given(recipe)), artifacts, conversions)


def _contents(steps: Sequence[Step], data: str) -> dict[str, str]:
    return {
        step.name: sha256_json({
            "kind": step.kind, "config": step.config.as_json(), "data": data,
            "code": code_digest(step.packages), "versions": versions(step.libraries),
        })
        for step in steps
    }  # fmt: skip
