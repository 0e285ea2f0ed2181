"""The steps of a plan that make and change the network."""

from artifacts.errors import ModelError
from artifacts.files import sha256_file, sha256_json
from compress.configs import DistilConfig, FactorizeConfig, ModelConfig, PalettizeConfig, PruneConfig, QuantizeConfig
from runtimes.registry import find
from tightship.planning.export_options import digests
from tightship.planning.step_configs import (
    DataStep,
    DistilStep,
    FactorizeStep,
    LatencySource,
    NetworkSource,
    PalettizeStep,
    PruneStep,
    QatStep,
    StartStep,
    StepConfig,
)
from tightship.planning.steps import COMPRESSING, DATA, EVERYTHING, REFERENCE, SOURCE, TRAINING, Step
from tightship.planning.target_selection import measured_on
from tightship.planning.teachers import taught_by, teacher_steps
from tightship.recipe.recipe import Recipe, Stage
from zoo import registry
from zoo.factories import source_files


def compression_steps(recipe: Recipe, machine: str) -> tuple[list[Step], str, str | None]:
    """The steps that change the network; the names of the last float one and of the quantization-trained one."""
    steps = [Step(DATA, "data", DataStep(data=recipe.data.model_copy(update={"loss": None})), {}, (), ("artifacts", "zoo"))]
    first = recipe.compress[0].config if recipe.compress else None
    teacher_is_reference = isinstance(first, DistilConfig) and first.teacher_is_reference
    current: str | None = None
    if not teacher_is_reference:
        current = REFERENCE
        steps.append(_start(current, recipe.model, recipe))
    trained = None
    for name, stage in _named(recipe.compress):
        if isinstance(stage.config, DistilConfig):
            if current is None and recipe.model.weights:
                current = "model"
            made = _distil(name, stage.config, recipe, current, teacher_is_reference and stage is recipe.compress[0])
            steps += made if current != "model" else [*made[:-1], _start(current, recipe.model, recipe), made[-1]]
        else:
            assert current is not None
            step = _change(name, stage, recipe, machine, current)
            if step is None:
                continue
            steps.append(step)
            if step.kind == "quantize":
                trained = name
                continue
        current = name
    assert current is not None
    return steps, current, trained


def _named(stages: tuple[Stage, ...]) -> list[tuple[str, Stage]]:
    """Every stage with the name of its step: the second of a kind is `prune-2`."""
    counts: dict[str, int] = {}
    named = []
    for stage in stages:
        counts[stage.kind] = counts.get(stage.kind, 0) + 1
        named.append((stage.kind if counts[stage.kind] == 1 else f"{stage.kind}-{counts[stage.kind]}", stage))
    return named


def _distil(name: str, config: DistilConfig, recipe: Recipe, current: str | None, teacher_is_reference: bool) -> list[Step]:
    """The steps of the teachers that are networks, and the distillation itself."""
    networks = teacher_steps(config, name, teacher_is_reference)
    teachers, inputs = taught_by(config, list(networks))
    fresh = None if current else source_of(recipe.model)
    bare = config.model_copy(update={"teacher": None, "teachers": ()})
    needs = {DATA: DATA, **({SOURCE: current} if current else {}), **inputs}
    libraries = (*TRAINING, "onnxruntime") if any(teacher.file for teacher in teachers) else TRAINING
    told = DistilStep(config=bare, teachers=teachers, fresh=fresh, seed=recipe.seed)
    starts = [_start(step, teacher.network(), recipe) for step, teacher in networks.items()]
    return [*starts, Step(name, "distil", told, needs, libraries, COMPRESSING)]


def _change(name: str, stage: Stage, recipe: Recipe, machine: str, current: str) -> Step | None:
    """The step of any other stage; none where there is nothing to train."""
    needs, config, seed = {DATA: DATA, SOURCE: current}, stage.config, recipe.seed
    latency = _latency(stage, recipe, machine)
    told: StepConfig
    match config:
        case QuantizeConfig():
            # the accuracy guard trains by itself, and only if nothing cheaper holds
            if not config.qat_epochs or config.max_drop is not None:
                return None
            told = QatStep(config=config, seed=seed)
        case PruneConfig():
            told = PruneStep(config=config, latency=latency, seed=seed)
        case FactorizeConfig():
            told = FactorizeStep(config=config, latency=latency, seed=seed)
        case PalettizeConfig():
            told = PalettizeStep(config=config, seed=seed)
        case _:
            raise AssertionError(f"no step for {stage.kind}")
    # what is measured on a machine holds for that machine
    libraries = (*TRAINING, *(find(latency.target).libraries if latency else ()))
    return Step(name, stage.kind, told, needs, libraries, EVERYTHING if latency else COMPRESSING)


def _latency(stage: Stage, recipe: Recipe, machine: str) -> LatencySource | None:
    """What decides the times that a stage takes on a target: opened there as the recipe's first row of it says."""
    target = measured_on(stage)
    if target is None:
        return None
    row = next((row for row in recipe.targets if row.name == target), None)
    if isinstance(stage.config, PruneConfig):
        precision: str = stage.config.latency_precision
    else:
        precision = "int8" if recipe.stage("quantize") and find(target).quantizer else "fp32"
    return LatencySource(
        target=target, precision=precision, machine=machine, threads=recipe.measure.threads,
        options=row.settings.session_options() if row else {},
        # the files that are timed are written with them
        export=recipe.export.model_copy(update={"dims": {}}), operators_sha256=digests(recipe.export.onnx.operators),
    )  # fmt: skip


def _start(name: str, model: ModelConfig, recipe: Recipe) -> Step:
    told = StartStep(source=source_of(model), train=recipe.train if model.weights is None else None, seed=recipe.seed)
    return Step(name, "start", told, {DATA: DATA}, TRAINING, COMPRESSING)


def source_of(model: ModelConfig) -> NetworkSource:
    """How a network is built, with the digests of its weights and of its factory's source.

    Raises:
        ModelError: there are no such weights, or no such reference model.
    """
    if model.zoo is not None:
        registry.find(registry.MODELS, "model", model.zoo)
    if model.weights is not None and not model.weights.is_file():
        raise ModelError(f"there are no weights at {model.weights}; check the recipe's `weights`.")
    sources = source_files(model.factory) if model.factory else []
    return NetworkSource(
        network=model,
        weights_sha256=sha256_file(model.weights) if model.weights else None,
        factory_sha256=sha256_json([sha256_file(path) for path in sources]) if sources else None,
    )
