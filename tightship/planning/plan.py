"""The plan: every step of a run, in order, with the key under which its result is stored. Imports nothing heavy."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from artifacts.errors import ModelError
from artifacts.files import sha256_file, sha256_json
from compress.configs import DistilConfig, ModelConfig, QuantizeConfig
from compress.configs.train import FinetuneConfig
from compress.quantizers import QUANTIZERS
from compress.quantizers.isa import has_vnni, instructions
from export.registry import FORMATS
from runtimes.registry import find
from tightship.planning.artifacts import guarded, plan_artifacts
from tightship.planning.export_options import check_dims, digests, said
from tightship.planning.plugins import given
from tightship.planning.sensitivity import ranking_steps
from tightship.planning.steps import COMPRESSING, DATA, EVERYTHING, MEASURE, REFERENCE, TRAINED, TRAINING, ArtifactPlan, Step
from tightship.planning.target_selection import TargetSelection, measured_on
from tightship.planning.teachers import taught_by, teacher_steps
from tightship.recipe.recipe import Recipe
from tightship.store import Store, code_digest, versions
from zoo import registry
from zoo.factories import source_files


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
            wanted |= set(step.needs) if step.name in wanted else set()
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
    steps, float_model, trained = _compression(recipe, machine)
    shown = recipe.model_copy(update={"targets": selection.rows}) if selection else recipe
    planned = plan_artifacts(shown, float_model, trained, skipped - converted)
    artifacts = tuple(a for a in planned if a.target not in converted)
    conversions = tuple(a for a in planned if a.target in converted)
    for artifact in artifacts:
        steps += [_export(artifact, recipe), _check(artifact)]
    steps += [_export(artifact, recipe) for artifact in conversions]
    libraries = tuple(dict.fromkeys(lib for a in artifacts for lib in find(a.target).libraries))
    # targets that open the same file, and rows of one target, are told apart by what is measured
    opened = {a.id: _opening(a) for a in artifacts}
    measuring = {**recipe.measure.timing(), "machine": machine, "artifacts": opened}
    steps.append(Step(MEASURE, "measure", measuring, (DATA, *(f"export {a.id}" for a in artifacts)), libraries, EVERYTHING))
    steps += ranking_steps(artifacts, recipe)
    return Plan(recipe, tuple(steps), _keys(steps, given(recipe), recipe.seed), artifacts, conversions)


def _compression(recipe: Recipe, machine: str) -> tuple[list[Step], str, str | None]:
    """The steps that change the network; the names of the last float one and of the quantization-trained one."""
    steps = [Step(DATA, "data", recipe.data.model_dump(mode="json"), (), (), ("artifacts", "zoo"))]
    first = recipe.compress[0] if recipe.compress else None
    teacher_is_reference = bool(first and isinstance(first.config, DistilConfig) and first.config.teacher_is_reference)
    current: str | None = None
    if not teacher_is_reference:
        current = REFERENCE
        steps.append(_start(current, recipe.model, recipe))
    trained = None
    counts: dict[str, int] = {}
    for stage in recipe.compress:
        counts[stage.kind] = counts.get(stage.kind, 0) + 1
        name = stage.kind if counts[stage.kind] == 1 else f"{stage.kind}-{counts[stage.kind]}"
        config = {**stage.config.model_dump(mode="json", exclude={"teacher", "teachers"})}
        teachers: list[dict[str, Any]] = []
        if isinstance(stage.config, DistilConfig):
            named = teacher_steps(stage.config, name, teacher_is_reference and stage is first)
            steps += [_start(step, teacher.network(), recipe) for step, teacher in named.items()]
            config["taught_by"] = teachers = taught_by(stage.config, list(named))
        if current is None and recipe.model.weights:
            current = "model"
            steps.append(_start(current, recipe.model, recipe))
        taught = tuple(teacher["step"] for teacher in teachers if "step" in teacher)
        needs = tuple(dict.fromkeys((DATA, *((current,) if current else ()), *taught)))
        if isinstance(stage.config, QuantizeConfig):
            # the accuracy guard trains by itself, and only if nothing cheaper holds
            if stage.config.qat_epochs and stage.config.max_drop is None:
                steps.append(Step(name, "quantize", config, needs, TRAINING, COMPRESSING))
                trained = name
            continue
        if current is None:
            config["model"] = _model_config(recipe.model)
        libraries = (*TRAINING, "onnxruntime") if any("file" in teacher for teacher in teachers) else TRAINING
        packages: tuple[str, ...] = COMPRESSING
        target = measured_on(stage)
        if target is not None:
            # what is measured on a machine holds for that machine
            config["timed"] = _timed(recipe, target, machine)
            libraries, packages = (*libraries, *find(target).libraries), EVERYTHING
        steps.append(Step(name, stage.kind, config, needs, libraries, packages))
        current = name
    assert current is not None
    return steps, current, trained


def _timed(recipe: Recipe, target: str, machine: str) -> dict[str, Any]:
    """What decides the times that a stage takes on a target: opened there as the recipe's first row of it says."""
    row = next((row for row in recipe.targets if row.name == target), None)
    options = find(target).read_options(row.options).session_options() if row else {}
    made: dict[str, Any] = {"machine": machine, "threads": recipe.measure.threads, "options": options}
    # the files that are timed are written with them
    return made | ({"operators": digests(recipe.export.onnx.operators)} if recipe.export.onnx.operators else {})


def _start(name: str, model: ModelConfig, recipe: Recipe) -> Step:
    config = {"model": _model_config(model)}
    if model.weights is None:
        config["train"] = recipe.train.model_dump(mode="json")
    return Step(name, "start", config, (DATA,), TRAINING, COMPRESSING)


def _model_config(model: ModelConfig) -> dict[str, Any]:
    config = {**model.model_dump(mode="json")}
    if model.zoo is not None:
        registry.find(registry.MODELS, "model", model.zoo)
    if model.weights is not None:
        if not model.weights.is_file():
            raise ModelError(f"there are no weights at {model.weights}; check the recipe's `weights`.")
        config["weights_sha256"] = sha256_file(model.weights)
    sources = source_files(model.factory) if model.factory else []
    if sources:
        config["factory_sha256"] = sha256_json([sha256_file(p) for p in sources])
    return config


def _export(artifact: ArtifactPlan, recipe: Recipe) -> Step:
    # a label tells rows of the recipe apart, not files: what is equal is made once
    config: dict[str, Any] = {"format": artifact.format, "precision": artifact.precision.partition("@")[0]}
    libraries = FORMATS[artifact.format].libraries
    config |= said(recipe, artifact.target, artifact.format)
    packages: tuple[str, ...] = (*COMPRESSING, "export")
    options = find(artifact.target).read_options(artifact.options)
    if options.of_the_file:
        config["rewritten"] = {"target": artifact.target, **options.of_the_file}
        libraries, packages = (*libraries, *find(artifact.target).libraries), (*packages, "runtimes")
    if options.bound_to_cpu:
        config["isa"] = instructions()
    if artifact.quantizer:
        quantize = recipe.stage("quantize")
        assert isinstance(quantize, QuantizeConfig)
        config |= {
            "quantizer": artifact.quantizer,
            **quantize.model_dump(mode="json", exclude={*FinetuneConfig.model_fields, "qat_epochs"}),
            "scheme": artifact.scheme,
        }
        if QUANTIZERS[artifact.quantizer].by_vnni:
            config["vnni"] = has_vnni()
        libraries += QUANTIZERS[artifact.quantizer].libraries
        if guarded(recipe) and artifact.scheme == "int8" and artifact.role == "compressed":
            return _guard(artifact, recipe, {**config, **quantize.model_dump(mode="json")}, libraries)
    kind = "convert" if find(artifact.target).only_on else "export"
    return Step(f"export {artifact.id}", kind, config, (DATA, artifact.source), libraries, packages, artifact)


def _guard(artifact: ArtifactPlan, recipe: Recipe, config: dict[str, Any], libraries: tuple[str, ...]) -> Step:
    """An export that is measured on its target, and made again by the next remedy until its accuracy holds."""
    # the same int8 file scores differently on another instruction set
    config |= {"target": artifact.target, "isa": instructions(), "threads": recipe.measure.threads}
    config |= _opened(_opening(artifact))
    libraries += (*TRAINING, *find(artifact.target).libraries)
    packages = (*COMPRESSING, "export", "runtimes", "benchmarks")
    return Step(f"export {artifact.id}", "guard", config, (DATA, artifact.source), libraries, packages, artifact)


def _check(artifact: ArtifactPlan) -> Step:
    needs = (DATA, artifact.source, f"export {artifact.id}")
    return Step(
        f"check {artifact.id}",
        "check",
        # the same int8 file scores differently on another instruction set
        {"target": artifact.target, "isa": instructions(), **artifact.session_options},
        needs,
        find(artifact.target).libraries,
        EVERYTHING,
        artifact,
    )


def _opening(artifact: ArtifactPlan) -> dict[str, Any]:
    return find(artifact.target).read_options(artifact.options).session_options()


def _opened(options: Mapping[str, Any]) -> dict[str, Any]:
    """What a step is told, where that is not the default; so that a recipe that says nothing keeps its keys."""
    return {"options": dict(options)} if options else {}


def training_threads() -> int:
    """How many threads PyTorch trains with: another number sums in another order and gives other weights."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _keys(steps: list[Step], data: str, seed: int) -> dict[str, str]:
    keys: dict[str, str] = {}
    for step in steps:
        keys[step.name] = sha256_json({
            "kind": step.kind, "config": step.config, "needs": [keys[n] for n in step.needs], "data": data, "seed": seed,
            "code": code_digest(step.packages), "versions": versions(step.libraries),
            "threads": training_threads() if step.kind in TRAINED else None,
        })  # fmt: skip
    return keys
