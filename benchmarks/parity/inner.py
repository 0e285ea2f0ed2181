"""Where a converted file of any format diverges from its network, by the tensors that its runtime shows inside it.

Names and layouts differ from format to format and operators are fused, so tensors are matched by their values alone: as they
are, or with the channels last.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx import Node

from artifacts.arrays import load_arrays, save_arrays
from artifacts.errors import TightshipError
from artifacts.types import Array, Arrays, Engine, TorchModel
from benchmarks.parity.bisect import LIMIT, ActivationRecorder, Divergence, layer_of
from benchmarks.process.child import Child
from compress.fold import fold
from runtimes.base import ShowsTensors
from runtimes.registry import find
from zoo.calling import arguments

SILENT = "cannot be read here"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Pairs:
    """How far every tensor of the network is from every tensor of the file that has as many values."""

    values: Mapping[Node, NDArray[np.floating]]
    """The network's tensors, in order."""
    apart: Mapping[Node, Mapping[str, tuple[float, float]]]
    """The largest difference and the root mean square, both in the spread of the network's tensor."""

    def held(self, node: Node) -> bool:
        """Whether the file computes this tensor."""
        return any(largest <= LIMIT for largest, _ in self.apart[node].values())

    def nearest(self, node: Node) -> str | None:
        """The tensor of the file that is nearest to a node's, if no other node's is nearer to it."""
        if not self.apart[node]:
            return None
        name = min(self.apart[node], key=lambda n: self.apart[node][n][1])
        rivals = [n for n in self.apart if name in self.apart[n]]
        return name if min(rivals, key=lambda n: self.apart[n][name][1]) is node else None


def read_inside(engine: Engine, inputs: Arrays, folder: Path) -> tuple[Arrays, str]:
    """The tensors inside a file for one call, read in a process of its own; or none, and why.

    Args:
        engine: the file, opened as it was checked.
        inputs: one call's.
        folder: where inputs, outputs and the log are kept.
    """
    if not issubclass(find(engine.target).runtime().session, ShowsTensors):
        return {}, SILENT
    fed, made = folder / "inside-inputs.npz", folder / "inside.npz"
    save_arrays(fed, inputs)
    try:
        with Child(engine, folder / "inside.log") as child:
            child.open(fed)
            names = child.tensors(fed, made)
    except TightshipError as error:
        return {}, f"{SILENT}: {error}"
    numbered = load_arrays(made)
    return {name: numbered[str(number)] for number, name in enumerate(names)}, ""


def read_outputs(engine: Engine, inputs: Arrays, folder: Path) -> Arrays:
    """What a file gives out for one call, in a process of its own.

    Raises:
        TightshipError: it does not run.
    """
    fed, made = folder / "outputs-inputs.npz", folder / "outputs.npz"
    save_arrays(fed, inputs)
    with Child(engine, folder / "outputs.log") as child:
        child.open(fed)
        child.outputs(fed, made)
    return load_arrays(made)


def first_unheld(model: TorchModel, tensors: Arrays, inputs: Arrays) -> Divergence | None:
    """The first operator whose result the file does not compute, and nothing that is computed from it either.

    A result that is missing while one that follows from it is there was fused into the operator after it.

    Args:
        model: the network that the file was made from.
        tensors: what the runtime shows of the inside of the file for `inputs`, by the names that it has for them.
        inputs: one call's.

    Returns:
        Its name and layer, and how far the nearest tensor is; none if everything is held.
    """
    pairs = _pairs(model, tensors, inputs)
    alive = _with_held_users(pairs)
    for node, found in pairs.apart.items():
        if node in alive or not found:
            continue
        name = min(found, key=lambda n: found[n][0])
        says = (
            f"first divergence at {node.name!r} ({layer_of(node)}): no tensor of the file holds it, nor anything computed "
            f"from it; the nearest, {name!r}, is off by {found[name][0]:.3g} of its spread"
        )
        return Divergence(says, layer_of(node), name, {}, pairs.values[node])
    return None


def largest_growth(model: TorchModel, tensors: Arrays, inputs: Arrays) -> Divergence | None:
    """The operator at which the error of a quantized file grows most; none if no tensor of the file can be told to be its own.

    Tensors belong together where each is the other's nearest. The error of an operator is that of its tensor, less the largest
    among those that it takes, each a root mean square in units of the tensor's spread.

    Args:
        model: the float network that the file was made from.
        tensors: as for `first_unheld`, dequantized.
        inputs: one call's.
    """
    pairs = _pairs(model, tensors, inputs)
    errors: dict[Node, float] = {}
    grown: dict[Node, tuple[float, str]] = {}
    for node, found in pairs.apart.items():
        before = max((errors[n] for n in node.all_input_nodes if n in errors), default=0.0)
        name = pairs.nearest(node)
        errors[node] = before if name is None else found[name][1]
        if name is not None:
            grown[node] = errors[node] - before, name
    if not grown:
        return None
    node = max(grown, key=lambda n: grown[n][0])
    growth, name = grown[node]
    says = (
        f"the error grows most at {node.name!r} ({layer_of(node)}): from {errors[node] - growth:.3g} to "
        f"{errors[node]:.3g} of the spread (rms), which tensor {name!r} of the file is nearest to"
    )
    return Divergence(says, layer_of(node), name, {}, pairs.values[node], growth)


@torch.no_grad()
def _pairs(model: TorchModel, tensors: Arrays, inputs: Arrays) -> _Pairs:
    graph = ActivationRecorder(fold(model.module, model.signature))
    graph.run(*arguments(graph.module, inputs))
    values = {node: value for node, value in graph.found.items() if value.size > 1}
    by_size: dict[int, list[tuple[str, Array]]] = {}
    for name, value in tensors.items():
        if np.issubdtype(value.dtype, np.floating):
            by_size.setdefault(value.size, []).append((name, value))
    apart = {node: {n: _apart(value, t) for n, t in by_size.get(value.size, [])} for node, value in values.items()}
    return _Pairs(values, apart)


def _apart(value: NDArray[np.floating], other: Array) -> tuple[float, float]:
    """The largest difference and the root mean square of two tensors of as many values, in the layout that fits best."""
    flat = other.ravel().astype(np.float64)
    if not np.isfinite(flat).all():
        return float("inf"), float("inf")
    spread = float(value.std()) + 1e-12
    differences = [np.abs(flat - mine) for mine in _layouts(value)]
    best = min(differences, key=lambda d: float(np.mean(d**2)))
    return float(best.max()) / spread, float(np.sqrt(np.mean(best**2))) / spread


def _layouts(value: NDArray[np.floating]) -> Iterator[Floats]:
    """A tensor's values in order, and with the channels last where it has places beside them."""
    yield value.ravel().astype(np.float64)
    if value.ndim > 2:
        yield np.moveaxis(value, 1, -1).ravel().astype(np.float64)


def _with_held_users(pairs: _Pairs) -> set[Node]:
    """The nodes that the file holds, and those that something it holds was computed from."""
    alive: set[Node] = set()
    waiting = [node for node in pairs.apart if pairs.held(node)]
    while waiting:
        node = waiting.pop()
        if node not in alive:
            alive.add(node)
            waiting += [n for n in node.all_input_nodes if n in pairs.apart or n.op == "call_function"]
    return alive
