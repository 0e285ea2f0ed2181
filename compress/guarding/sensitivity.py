"""How much the network's output suffers from each layer in int8, measured where it is deployed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.fx import GraphModule, Interpreter, Node

from artifacts.errors import RequestError
from artifacts.types import Array, Arrays, TorchModel
from compress.fold import fold
from compress.guarding.equalization import layer_name, layers, parameter
from compress.macs.watching import Tally, watched
from compress.quantizers.layers import names_layer
from zoo.calling import arguments

MOST_DB = 200.0
"""What two equal outputs are said to be apart: evidence holds no infinity."""
MOST = 0.75
"""Of the noise: without the layers that make it, 6 dB are won. They stand out, if they are few."""
FEW = 4
"""One layer in so many is few."""


@dataclass(frozen=True)
class Loss:
    """What a file in int8 loses against the float network, on the same examples."""

    sqnr_db: float
    """Signal to quantization noise of the network's output, in dB: the lower, the more is lost."""
    drop: float | None = None
    """Of the task's metric; none: not scored, or an output is not a number."""
    error: float | None = None
    """Standard error of the drop."""
    bytes: int | None = None
    """Of the file."""


@dataclass(frozen=True)
class LayerSensitivity:
    """One layer, quantized alone."""

    layer: str
    """Dotted module name."""
    loss: Loss | None
    reason: str | None = None
    """Why it could not be quantized alone."""

    @property
    def sqnr_db(self) -> float:
        """Of the output, in dB; that of equal outputs where the layer cannot be quantized and so stays in float anyway."""
        return self.loss.sqnr_db if self.loss else MOST_DB


@dataclass(frozen=True)
class Size:
    """What a layer holds and computes."""

    parameters: int
    macs: int
    """Multiply-accumulates of one example."""


def layer_names(model: TorchModel, kept: Iterable[str] = ()) -> list[str]:
    """The layers with weights of their own that a quantizer can be told to keep float, in call order; without those `kept`."""
    graph = fold(model.module, model.signature)
    known, kept = dict(model.module.named_modules()), tuple(kept)
    names = [name for name in dict.fromkeys(map(layer_name, layers(graph))) if name in known]
    return [name for name in names if not names_layer(f"{name}.weight", kept)]


def sqnr(expected: Array, found: Array) -> float:
    """Signal to quantization noise of two outputs of one shape, in dB, at most 200; -200 where `found` is not finite."""
    noise = float(np.square(found.astype(np.float64) - expected.astype(np.float64)).sum())
    signal = float(np.square(expected.astype(np.float64)).sum())
    if not np.isfinite(noise) or not signal:
        return -MOST_DB
    return MOST_DB if not noise else float(np.clip(10 * np.log10(signal / noise), -MOST_DB, MOST_DB))


def rank(
    names: Sequence[str], lost: Callable[[tuple[str, ...]], Loss], progress: Callable[[float, str], None]
) -> list[LayerSensitivity]:
    """Every layer in the order of what quantizing it alone costs, the worst first, those that cannot be at the end.

    `lost` deploys the network with the layers it is given kept float, and tells what it loses.

    Raises:
        RequestError: no layer can be quantized alone; the last one's reason.
    """
    found = []
    for at, name in enumerate(names):
        progress(at / len(names), f"sensitivity of {name}")
        try:
            found.append(LayerSensitivity(name, lost(tuple(other for other in names if other != name))))
        except RequestError as error:
            if at == len(names) - 1 and not any(s.loss for s in found):
                raise
            found.append(LayerSensitivity(name, None, str(error)))
    return sorted(found, key=lambda s: (s.loss is None, s.sqnr_db))


def noise_shares(ranked: Iterable[LayerSensitivity], between: Loss | None) -> dict[str, float]:
    """Each layer's share (0..1) of the noise that the layers make one by one; none makes any: empty.

    `between` is what is lost with all of them float, by what is rounded between them; each layer alone holds it too.
    """
    floor = _noise(between.sqnr_db) if between else 0.0
    own = {s.layer: max(0.0, _noise(s.sqnr_db) - floor) for s in ranked if s.loss}
    total = sum(own.values())
    return {name: noise / total for name, noise in own.items()} if total else {}


def standing_out(shares: dict[str, float]) -> tuple[str, ...]:
    """The fewest layers that make three quarters of the noise, the worst first; none if they are more than a quarter of all."""
    chosen: list[str] = []
    for name in sorted(shares, key=lambda n: -shares[n]):
        if sum(shares[n] for n in chosen) >= MOST:
            break
        chosen.append(name)
    return tuple(chosen) if len(shares) > 1 and len(chosen) <= max(1, len(shares) // FEW) else ()


@torch.no_grad()
def sizes(model: TorchModel, example: Arrays) -> dict[str, Size]:
    """Weights, biases and multiply-accumulates by layer, batch norms folded; `example` is a batch (N, ...) of each input."""
    counter = _Counter(fold(model.module, model.signature))
    counter.run(*arguments(counter.graph_module, {name: array[:1] for name, array in example.items()}))
    return counter.found


class _Counter(Interpreter):
    """Runs a folded graph on one example and counts what its layers hold and do."""

    def __init__(self, graph: GraphModule) -> None:
        super().__init__(graph)
        self.graph_module, self.calls, self.found = graph, set(layers(graph)), dict[str, Size]()

    def run_node(self, n: Node) -> object:
        if n not in self.calls:
            return super().run_node(n)
        tally = Tally()
        with watched(tally):
            result = super().run_node(n)
        held = [p for a in n.args[1:3] if (p := parameter(self.graph_module, a)) is not None]
        self.found[layer_name(n)] = Size(sum(p.numel() for p in held), tally.macs)
        return result


def _noise(sqnr_db: float) -> float:
    """The noise in units of the signal."""
    return float(10 ** (-sqnr_db / 10))
