"""The plan: every step of a run, in order, with the key under which its result is stored. Imports nothing heavy."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from artifacts.files import sha256_json
from tightship.planning.artifacts import plan_artifacts
from tightship.planning.compression import compression_steps
from tightship.planning.deployment import check_step, export_step, measure_step, sensitivity_step
from tightship.planning.export_options import check_dims
from tightship.planning.steps import TRAINED, ArtifactPlan, Step
from tightship.planning.target_selection import TargetSelection
from tightship.recipe.recipe import Recipe
from tightship.store import Store, code_digest, versions
from zoo.data import fingerprint


@dataclass(frozen=True)
class Plan:
    """All steps of a recipe, with their keys."""

    recipe: Recipe
    steps: tuple[Step, ...]
    keys: Mapping[str, str]
    artifacts: tuple[ArtifactPlan, ...]
    converted: tuple[ArtifactPlan, ...] = ()
    """Files of targets that run on another system only: made and checked, and not run."""

    def cached(self, store: Store) -> dict[str, bool]:
        """Which steps have an entry in the store (it is verified when it is used)."""
        return {s.name: store.entry_folder(self.keys[s.name]).is_dir() for s in self.steps}

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
    return Plan(recipe, tuple(steps), _keys(steps, fingerprint(recipe.data.ref())), artifacts, conversions)


def training_threads() -> int:
    """How many threads PyTorch trains with: another number sums in another order and gives other weights."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _keys(steps: list[Step], data: str) -> dict[str, str]:
    keys: dict[str, str] = {}
    for step in steps:
        keys[step.name] = sha256_json({
            "kind": step.kind, "config": step.config.as_json(), "data": data,
            "needs": {name: keys[needed] for name, needed in step.needs.items()},
            "code": code_digest(step.packages), "versions": versions(step.libraries),
            "threads": training_threads() if step.kind in TRAINED else None,
        })  # fmt: skip
    return keys
