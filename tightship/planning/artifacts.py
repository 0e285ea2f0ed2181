"""Which files a target gets: fp32, and the schemes of quantization that it is asked for and can run."""

from dataclasses import replace

from artifacts.errors import RecipeError, RequestError
from compress.configs import QuantizeConfig
from export.registry import FORMATS
from runtimes.registry import TARGETS, find, running
from runtimes.target import Target
from tightship.planning.steps import REFERENCE, ArtifactPlan
from tightship.recipe.recipe import Recipe
from tightship.recipe.sections import TargetConfig


def wanted_precisions(target: Target, wanted: TargetConfig, recipe: Recipe) -> tuple[str, ...]:
    """What the recipe says of a target, or else fp32 and the scheme of its `quantize`; each once, in order.

    Raises:
        RequestError: the target does not run a scheme, or the recipe does not say how to make it.
    """
    quantize = recipe.stage("quantize")
    if wanted.precisions is None:
        usual = quantize.scheme if isinstance(quantize, QuantizeConfig) and not target.reference else None
        # a target without int8 of its own takes part as fp32; any other scheme was asked for by name
        if usual is None or (usual == "int8" and target.quantizer is None):
            return ("fp32",)
        precisions: tuple[str, ...] = ("fp32", usual)
    else:
        precisions = tuple(dict.fromkeys(wanted.precisions))
    for scheme in precisions:
        if scheme == "fp32":
            continue
        if target.quantizer_for(scheme) is None:
            able = " and ".join(running(scheme)) or "no target"
            raise RequestError(
                f"target {target.name} does not run scheme {scheme}, which {able} can; "
                f"give {target.name} `precisions: [fp32]`, or take it out."
            )
        if quantize is None:
            raise RequestError(f"target {target.name} asks for {scheme}, but `compress` has no `quantize`; add one.")
    return precisions


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
    precisions = wanted_precisions(target, wanted, recipe)
    if "fp32" in precisions:
        for at, name in enumerate(target.formats):
            precision = "fp32" if at == 0 else f"fp32-{name.rpartition('-')[2]}"
            made.append(_artifact(target, _packed(name, target, recipe), precision, float_model, None))
    for scheme in precisions:
        if scheme == "fp32":
            continue
        int8 = "int8-guard" if guarded(recipe) else "int8-ptq"
        made.append(_artifact(target, target.formats[0], int8 if scheme == "int8" else scheme, float_model, scheme))
        if scheme == "int8" and trained and target.qat:
            made.append(_artifact(target, target.formats[0], "int8-qat", trained, scheme))
    if wanted.stock:
        made.append(_stock(target, recipe))
    return [_of_row(artifact, target, wanted) for artifact in made]


def _of_row(artifact: ArtifactPlan, target: Target, wanted: TargetConfig) -> ArtifactPlan:
    """The artifact under the label and with the options of the recipe's row; a stock file is opened as the rest are."""
    said = target.read_options(wanted.options).non_default()
    if wanted.label is None:
        return replace(artifact, options=said)
    precision = f"{artifact.precision}@{wanted.label}"
    return replace(artifact, id=f"{target.name}/{precision}", precision=precision, options=said, label=wanted.label)


def _stock(target: Target, recipe: Recipe) -> ArtifactPlan:
    """The reference in int8 as the runtime's own tools make it."""
    if target.stock is None or recipe.stage("quantize") is None:
        known = ", ".join(t.name for t in TARGETS.values() if t.stock)
        raise RecipeError(
            f"target {target.name!r} asks for a stock int8 file, which needs a `quantize` stage and one of {known}; "
            "leave out `stock`."
        )
    format_name, quantizer = target.stock
    name = f"{target.name}/int8-stock"
    return ArtifactPlan(name, target.name, format_name, "int8-stock", "stock", REFERENCE, quantizer, "int8")


def _packed(name: str, target: Target, recipe: Recipe) -> str:
    """The format to write: with packed palettes where the format has such a form and the target unpacks it."""
    return FORMATS.find(name).packed or name if target.unpacks_palettes and recipe.stage("palettize") else name


def _artifact(target: Target, format_name: str, precision: str, source: str, scheme: str | None) -> ArtifactPlan:
    quantizer = target.quantizer_for(scheme) if scheme else None
    name = f"{target.name}/{precision}"
    return ArtifactPlan(name, target.name, format_name, precision, "compressed", source, quantizer, scheme)


def int8_rows(recipe: Recipe) -> list[TargetConfig]:
    """The rows of a recipe's targets that get an int8 file whose layers can be told to stay in float.

    Raises:
        RequestError: none does; says why, and what would make one.
    """
    quantize = recipe.stage("quantize")
    if quantize is None:
        raise RequestError(
            "sensitivity asks which layers lose in int8, but `compress` has no `quantize`; add `- quantize: {scheme: int8}`."
        )
    found = [row for row in recipe.targets if "int8" in wanted_precisions(find(row.name), row, recipe)]
    if not found:
        assert isinstance(quantize, QuantizeConfig)
        way_out = "add one such as onnxruntime-cpu"
        if quantize.scheme != "int8":
            way_out = f"the recipe's scheme is {quantize.scheme}: set scheme: int8"
        raise RequestError(
            f"sensitivity asks which layers lose in int8, but no target of the recipe gets an int8 file; {way_out}."
        )
    return found


def guarded(recipe: Recipe) -> bool:
    """Whether the accuracy guard makes the int8 files."""
    quantize = recipe.stage("quantize")
    return isinstance(quantize, QuantizeConfig) and quantize.max_drop is not None
