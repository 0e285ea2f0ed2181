"""What a file must compute, how closely, and what to call that."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifacts.types import TorchModel
from benchmarks.parity.parity import CONVERSION, QUANTIZED, SCHEMES, SIMULATED, Tolerance
from compress.configs import QuantizeConfig

if TYPE_CHECKING:
    from torch import nn

OTHER_GRIDS = ("coreml-weights",)
"""Quantizers that round weights on grids of their runtime's own, which `rounded` does not know."""


@dataclass(frozen=True)
class Reference:
    """The network that a file is held against."""

    module: "nn.Module"
    tolerance: Tolerance
    name: str
    """`float`, `simulated` (fake-quantized; `7-bit simulated` where the file's weights have 7 bits) or `rounded weights`."""


def reference_of(model: TorchModel, quantizer: str | None, config: QuantizeConfig | None, remedied: bool = False) -> Reference:
    """What the file of a network must compute.

    Args:
        model: the network that the file was made from.
        quantizer: of `compress.quantizers`, if the file is quantized.
        config: how it was quantized, with the scheme of the file; none: it is in float.
        remedied: whether its weights were changed before they were rounded.
    """
    from compress.qat import simulate
    from compress.quantizers.rounding import limit_of, rounded, rounds_weights, stored_limit

    if config is None:
        return Reference(model.module.eval(), CONVERSION, "float")
    if model.ranges:
        limit = stored_limit(quantizer, config)
        bits = "" if limit == limit_of(config.weight_bits) else "7-bit "
        return Reference(simulate(model, config, limit), SIMULATED, f"{bits}simulated")
    if quantizer in OTHER_GRIDS:
        return Reference(model.module.eval(), QUANTIZED, "float")
    tolerance = SCHEMES.get(config.scheme, QUANTIZED)
    # equalized or corrected weights are not those of the model before they are rounded
    if rounds_weights(config) and not remedied:
        return Reference(rounded(model, config), tolerance, "rounded weights")
    return Reference(model.module.eval(), tolerance, "float")
