"""How much the network's output suffers from each layer in int8, measured where it is deployed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifacts.types import TorchModel
from compress.fold import fold
from compress.guarding.equalise import layer_name, layers

MOST_DB = 200.0
"""What two equal outputs are said to be apart: evidence holds no infinity."""


@dataclass(frozen=True)
class LayerSensitivity:
    """One layer, quantized alone."""

    layer: str
    """Dotted module name."""
    sqnr_db: float
    """Signal to quantization noise of the network's output, in dB: the lower, the more the layer costs."""


def layer_names(model: TorchModel) -> list[str]:
    """The layers with weights of their own that a quantizer can be told to keep float, in call order."""
    graph = fold(model.module, model.signature)
    known = dict(model.module.named_modules())
    return [name for name in dict.fromkeys(map(layer_name, layers(graph))) if name in known]


def sqnr(expected: NDArray[Any], found: NDArray[Any]) -> float:
    """Signal to quantization noise of two outputs of one shape, in dB, at most 200; -200 where `found` is not finite."""
    noise = float(np.square(found.astype(np.float64) - expected).sum())
    signal = float(np.square(expected.astype(np.float64)).sum())
    if not np.isfinite(noise) or not signal:
        return -MOST_DB
    return MOST_DB if not noise else float(np.clip(10 * np.log10(signal / noise), -MOST_DB, MOST_DB))


def rank(
    names: Sequence[str],
    outputs: Callable[[tuple[str, ...]], NDArray[Any]],
    expected: NDArray[Any],
    progress: Callable[[float, str], None],
) -> list[LayerSensitivity]:
    """Every layer in the order of what quantizing it alone costs, the worst first.

    `outputs` deploys the network with the layers it is given kept float, and returns its output (N, ...) on examples of
    which `expected` is the float network's.
    """
    found = []
    for at, name in enumerate(names):
        progress(at / len(names), f"sensitivity of {name}")
        others = tuple(other for other in names if other != name)
        found.append(LayerSensitivity(name, sqnr(expected, outputs(others))))
    return sorted(found, key=lambda s: s.sqnr_db)
