"""Which files a target gets: fp32, and the schemes of quantization that it is asked for and can run."""

from artifacts.errors import RequestError
from compress.configs import QuantizeConfig
from runtimes.registry import Target, running
from tightship.recipe import Recipe, TargetConfig


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
        if target.lowering(scheme) is None:
            able = " and ".join(running(scheme)) or "no target"
            raise RequestError(
                f"target {target.name} does not run scheme {scheme}, which {able} can; "
                f"give {target.name} `precisions: [fp32]`, or take it out."
            )
        if quantize is None:
            raise RequestError(f"target {target.name} asks for {scheme}, but `compress` has no `quantize`; add one.")
    return precisions
