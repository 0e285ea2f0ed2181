"""The steps of a plan that make the files of targets, hold them against their networks, and measure them."""

from compress.configs import QuantizeConfig
from compress.quantizers import QUANTIZERS
from compress.quantizers.isa import has_vnni, instructions
from compress.training.config import FinetuneConfig
from export.registry import FORMATS
from runtimes.registry import find
from tightship.planning.artifacts import guarded
from tightship.planning.export_options import digests, followed_by
from tightship.planning.step_configs import (
    CheckStep,
    ExportStep,
    GuardStep,
    LoopStep,
    MeasureStep,
    Rewrite,
    SensitivityStep,
)
from tightship.planning.steps import (
    COMPRESSING,
    DATA,
    EVERYTHING,
    FILE,
    MEASURE,
    REFERENCE,
    SOURCE,
    TRAINING,
    ArtifactPlan,
    Step,
)
from tightship.recipe.recipe import Recipe

TRAINED_ONLY = {name: field.default for name, field in FinetuneConfig.model_fields.items()} | {"qat_epochs": 0}
"""What a file that is made without training does not follow, at its default."""


def export_step(artifact: ArtifactPlan, recipe: Recipe) -> Step:
    """The step that writes a file; where the accuracy guard makes it, one that is made again until its accuracy holds."""
    target, options = find(artifact.target), artifact.settings
    format_, quantizer = FORMATS.find(artifact.format), QUANTIZERS.find(artifact.quantizer) if artifact.quantizer else None
    guard = guarded(recipe) and artifact.scheme == "int8" and artifact.role == "compressed"
    export = followed_by(recipe, artifact.target, artifact.format)
    rewrite = Rewrite(target=artifact.target, options=dict(options.of_the_file)) if options.of_the_file else None
    told = ExportStep(
        format=artifact.format, precision=artifact.precision, scheme=artifact.scheme, quantizer=artifact.quantizer,
        quantize=_quantize(recipe, artifact.scheme, whole=guard) if quantizer else None,
        export=export, operators_sha256=digests(export.onnx.operators), rewrite=rewrite,
        isa=instructions() if options.bound_to_cpu else None,
        vnni=has_vnni() if quantizer and quantizer.by_vnni else None, seed=recipe.seed,
    )  # fmt: skip
    needs = {DATA: DATA, SOURCE: artifact.source}
    libraries = (*format_.libraries, *(quantizer.libraries if quantizer else ()), *(target.libraries if rewrite else ()))
    if not guard:
        packages = (*COMPRESSING, "export", *(("runtimes",) if rewrite else ()))
        kind = "convert" if target.only_on else "export"
        return Step(artifact.export_step, kind, told, needs, libraries, packages)  # type: ignore[arg-type]
    guarded_ = GuardStep(
        **dict(told),
        target=target.name,
        target_isa=instructions(),
        threads=recipe.measure.threads,
        options=artifact.settings.session_options(),
    )
    packages = (*COMPRESSING, "export", "runtimes", "benchmarks")
    return Step(artifact.export_step, "guard", guarded_, needs, (*libraries, *TRAINING, *target.libraries), packages)


def _quantize(recipe: Recipe, scheme: str | None, whole: bool) -> QuantizeConfig:
    """How a file is quantized; without what only training follows, unless the `whole` of it decides."""
    config = recipe.stage("quantize")
    assert isinstance(config, QuantizeConfig)
    assert scheme is not None
    return config.model_copy(update={} if whole else TRAINED_ONLY).of(scheme)


def check_step(artifact: ArtifactPlan, export: Step, recipe: Recipe) -> Step:
    """The step that holds a file against its network, on its target."""
    needs = {DATA: DATA, SOURCE: artifact.source, FILE: export.name}
    return Step(
        artifact.check_step, "check", _checked(artifact, export, recipe), needs, find(artifact.target).libraries, EVERYTHING
    )


def _checked(artifact: ArtifactPlan, export: Step, recipe: Recipe) -> CheckStep:
    assert isinstance(export.config, ExportStep)
    return CheckStep(
        target=artifact.target,
        isa=instructions(),
        threads=recipe.measure.threads,
        options=artifact.options,
        export=export.config.plain(),
    )


def sensitivity_step(artifact: ArtifactPlan, export: Step, recipe: Recipe) -> Step:
    """The step that ranks the layers of an int8 file: files made as it was, each with one layer in int8, run on its target."""
    assert artifact.quantizer is not None
    told = SensitivityStep(**dict(_checked(artifact, export, recipe)), samples=recipe.measure.sensitivity_samples)
    libraries = (*TRAINING, *QUANTIZERS.find(artifact.quantizer).libraries, *find(artifact.target).libraries)
    needs = {DATA: DATA, SOURCE: artifact.source, FILE: export.name}
    return Step(artifact.sensitivity_step, "sensitivity", told, needs, libraries, EVERYTHING)


def loop_step(artifact: ArtifactPlan, export: Step, recipe: Recipe, machine: str) -> Step:
    """The step that calls a file in a loop, beside the reference's network."""
    measure = recipe.measure
    assert measure.loop is not None
    told = LoopStep(
        **dict(_checked(artifact, export, recipe)), loop=measure.loop, processes=measure.processes,
        seconds=measure.blocks * measure.block_seconds, machine=machine,
    )  # fmt: skip
    needs = {DATA: DATA, REFERENCE: REFERENCE, FILE: export.name}
    return Step(artifact.loop_step, "loop", told, needs, find(artifact.target).libraries, EVERYTHING)


def measure_step(artifacts: tuple[ArtifactPlan, ...], recipe: Recipe, machine: str) -> Step:
    """The step that measures all files against each other."""
    libraries = tuple(dict.fromkeys(library for a in artifacts for library in find(a.target).libraries))
    # targets that open the same file, and rows of one target, are told apart by what is measured
    opened = {str(a.id): a.settings.session_options() for a in artifacts}
    told = MeasureStep(**recipe.measure.timing(), machine=machine, artifacts=opened)
    needs = {DATA: DATA, **{str(a.id): a.export_step for a in artifacts}}
    return Step(MEASURE, "measure", told, needs, libraries, EVERYTHING)
