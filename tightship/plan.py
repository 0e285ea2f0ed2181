"""The plan: every step of a run, in order, with the key under which its result is stored. Imports nothing heavy."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from artifacts.errors import ModelError
from artifacts.files import sha256_file, sha256_json
from compress.configs import DistilConfig, ModelConfig, QuantizeConfig
from compress.quantizers import QUANTIZERS
from export.registry import FORMATS
from runtimes.registry import Target, find
from tightship.recipe import Recipe, TargetConfig
from tightship.store import Store, code_digest, versions
from zoo import registry
from zoo.data import fingerprint
from zoo.factories import source_files

TRAINING = ("torch", "torch-pruning", "numpy")
COMPRESSING = ("artifacts", "zoo", "compress")
TRAINED = ("start", "distil", "prune", "quantize")
DATA, REFERENCE, MEASURE = "data", "reference", "measure"


@dataclass(frozen=True)
class ArtifactPlan:
    """One file that will be made for one target."""

    id: str
    target: str
    format: str
    precision: str
    """fp32, int8-ptq or int8-qat; `-script` marks a second format of the same precision."""
    role: Literal["reference", "compressed"]
    source: str
    """The step whose network it is made from."""
    quantizer: str | None


@dataclass(frozen=True)
class Step:
    """One stage of the run."""

    name: str
    kind: str
    config: Mapping[str, Any]
    needs: tuple[str, ...]
    libraries: tuple[str, ...]
    packages: tuple[str, ...]
    artifact: ArtifactPlan | None = None


@dataclass(frozen=True)
class Plan:
    """All steps of a recipe, with their keys."""

    recipe: Recipe
    steps: tuple[Step, ...]
    keys: Mapping[str, str]
    artifacts: tuple[ArtifactPlan, ...]

    def cached(self, store: Store) -> dict[str, bool]:
        """Which steps have an entry in the store (it is verified when it is used)."""
        return {s.name: store.entry_folder(self.keys[s.name]).is_dir() for s in self.steps}


def make_plan(recipe: Recipe, machine: str, skipped: frozenset[str] = frozenset()) -> Plan:
    """The steps of a recipe on a machine, without the targets in `skipped`."""
    steps, float_model, trained = _compression(recipe)
    artifacts = plan_artifacts(recipe, float_model, trained, skipped)
    for artifact in artifacts:
        steps += [_export(artifact, recipe), _check(artifact)]
    libraries = tuple(dict.fromkeys(lib for a in artifacts for lib in find(a.target).libraries))
    measuring = {**recipe.measure.model_dump(), "machine": machine}
    everything = (*COMPRESSING, "export", "runtimes", "benchmarks")
    steps.append(Step(MEASURE, "measure", measuring, (DATA, *(f"export {a.id}" for a in artifacts)), libraries, everything))
    return Plan(recipe, tuple(steps), _keys(steps, fingerprint(recipe.data.ref()), recipe.seed), artifacts)


def _compression(recipe: Recipe) -> tuple[list[Step], str, str | None]:
    """The steps that change the network; the names of the last float one and of the quantization-trained one."""
    steps = [Step(DATA, "data", recipe.data.model_dump(mode="json"), (), (), ("artifacts", "zoo"))]
    first = recipe.compress[0] if recipe.compress else None
    teacher = first.config.teacher if first and isinstance(first.config, DistilConfig) else None
    current: str | None = REFERENCE
    if teacher is not None:
        steps.append(_start(REFERENCE, teacher, recipe))
        current = "model" if recipe.model.weights else None
        if current:
            steps.append(_start("model", recipe.model, recipe))
    else:
        steps.append(_start(REFERENCE, recipe.model, recipe))
    trained = None
    counts: dict[str, int] = {}
    for stage in recipe.compress:
        counts[stage.kind] = counts.get(stage.kind, 0) + 1
        name = stage.kind if counts[stage.kind] == 1 else f"{stage.kind}-{counts[stage.kind]}"
        config = {**stage.config.model_dump(mode="json", exclude={"teacher"})}
        needs = tuple(
            dict.fromkeys((DATA, *((current,) if current else ()), *((REFERENCE,) if stage.kind == "distil" else ())))
        )
        if isinstance(stage.config, QuantizeConfig):
            if stage.config.qat_epochs:
                steps.append(Step(name, "quantize", config, needs, TRAINING, COMPRESSING))
                trained = name
            continue
        if current is None:
            config["model"] = _model_config(recipe.model)
        steps.append(Step(name, stage.kind, config, needs, TRAINING, COMPRESSING))
        current = name
    assert current is not None
    return steps, current, trained


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


def plan_artifacts(
    recipe: Recipe, float_model: str, trained: str | None, skipped: frozenset[str] = frozenset()
) -> tuple[ArtifactPlan, ...]:
    """Every file that the recipe's targets call for, the reference in PyTorch eager first."""
    made = [ArtifactPlan("torch-cpu/reference", "torch-cpu", "module", "fp32", "reference", REFERENCE, None)]
    for wanted in recipe.targets:
        if wanted.name not in skipped:
            made += _for_target(find(wanted.name), wanted, recipe, float_model, trained)
    return tuple(made)


def _for_target(
    target: Target, wanted: TargetConfig, recipe: Recipe, float_model: str, trained: str | None
) -> list[ArtifactPlan]:
    made = []
    if "fp32" in wanted.precisions:
        for at, name in enumerate(target.formats):
            precision = "fp32" if at == 0 else f"fp32-{name.rpartition('-')[2]}"
            made.append(_artifact(target, name, precision, float_model, None))
    if "int8" in wanted.precisions and target.quantizer and recipe.stage("quantize"):
        made.append(_artifact(target, target.formats[0], "int8-ptq", float_model, target.quantizer))
        if trained and target.qat:
            made.append(_artifact(target, target.formats[0], "int8-qat", trained, target.quantizer))
    return made


def _artifact(target: Target, format_name: str, precision: str, source: str, quantizer: str | None) -> ArtifactPlan:
    return ArtifactPlan(f"{target.name}/{precision}", target.name, format_name, precision, "compressed", source, quantizer)


def _export(artifact: ArtifactPlan, recipe: Recipe) -> Step:
    config: dict[str, Any] = {"format": artifact.format, "precision": artifact.precision}
    libraries = FORMATS[artifact.format].libraries
    if artifact.quantizer:
        quantize = recipe.stage("quantize")
        assert isinstance(quantize, QuantizeConfig)
        config |= {
            "quantizer": artifact.quantizer,
            "samples": quantize.calibration_samples,
            "calibrator": quantize.calibrator,
            "percentile": quantize.percentile,
        }
        libraries += QUANTIZERS[artifact.quantizer].libraries
    packages = (*COMPRESSING, "export")
    return Step(f"export {artifact.id}", "export", config, (DATA, artifact.source), libraries, packages, artifact)


def _check(artifact: ArtifactPlan) -> Step:
    needs = (DATA, artifact.source, f"export {artifact.id}")
    packages = (*COMPRESSING, "export", "runtimes", "benchmarks")
    return Step(
        f"check {artifact.id}",
        "check",
        {"target": artifact.target},
        needs,
        find(artifact.target).libraries,
        packages,
        artifact,
    )


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
