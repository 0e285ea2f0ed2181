"""Which files a target gets: fp32, and the schemes of quantization that it is asked for and can run."""

from artifacts.errors import RecipeError, RequestError
from artifacts.ids import ArtifactId
from compress.configs import QuantizeConfig
from export.registry import FORMATS
from runtimes.registry import TARGETS, find, running
from runtimes.target import Target
from tightship.planning.steps import REFERENCE, ArtifactPlan
from tightship.recipe.recipe import Recipe
from tightship.recipe.sections import TargetConfig

REFERENCE_ID = ArtifactId("torch-cpu", "reference")
"""The network before any compression, in PyTorch eager: what speed-ups are over."""


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
        if scheme in target.float_formats:
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
    made = [ArtifactPlan(REFERENCE_ID, "module", "reference", REFERENCE)]
    for wanted in recipe.targets:
        if wanted.name not in skipped:
            made += _for_target(find(wanted.name), wanted, recipe, float_model, trained)
    return tuple(made)


def _for_target(
    target: Target, wanted: TargetConfig, recipe: Recipe, float_model: str, trained: str | None
) -> list[ArtifactPlan]:
    def plan(format_name: str, precision: str, source: str, scheme: str | None) -> ArtifactPlan:
        name, quantizer = ArtifactId(target.name, precision, wanted.label), target.quantizer_for(scheme) if scheme else None
        return ArtifactPlan(name, format_name, "compressed", source, quantizer, scheme, wanted.settings)

    made = []
    precisions = wanted_precisions(target, wanted, recipe)
    for precision, name in target.float_formats.items():
        if precision in precisions:
            made.append(plan(_packed(name, target, recipe), precision, float_model, None))
    for scheme in precisions:
        if scheme in target.float_formats:
            continue
        int8 = "int8-guard" if guarded(recipe) else "int8-ptq"
        made.append(plan(target.formats[0], int8 if scheme == "int8" else scheme, float_model, scheme))
        if scheme == "int8" and trained and target.qat:
            made.append(plan(target.formats[0], "int8-qat", trained, scheme))
    if wanted.stock:
        format_name, quantizer = _stock(target, recipe)
        stock = ArtifactId(target.name, "int8-stock", wanted.label)
        made.append(ArtifactPlan(stock, format_name, "stock", REFERENCE, quantizer, "int8", wanted.settings))
    return made


def _stock(target: Target, recipe: Recipe) -> tuple[str, str]:
    """Format and quantizer of the reference in int8 as the runtime's own tools make it; it is opened as the rest are."""
    if target.stock is None or recipe.stage("quantize") is None:
        known = ", ".join(t.name for t in TARGETS.values() if t.stock)
        raise RecipeError(
            f"target {target.name!r} asks for a stock int8 file, which needs a `quantize` stage and one of {known}; "
            "leave out `stock`."
        )
    return target.stock


def _packed(name: str, target: Target, recipe: Recipe) -> str:
    """The format to write: with packed palettes where the format has such a form and the target unpacks it."""
    return FORMATS.find(name).packed or name if target.unpacks_palettes and recipe.stage("palettize") else name


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
