"""Cross-layer equalization (Nagel et al. 2019, arXiv:1906.04721, section 4.1) on the folded graph.

Where `f(s·x) = s·f(x)` for s > 0 lies between two layers, the first may make a channel s times smaller and the second take
it s times larger. With `s = sqrt(r1·r2) / r2`, r1 and r2 the channel's largest weights in the two layers, both ranges
become equal, and one scale per tensor fits every channel. In float the network computes what it did.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from artifacts.errors import ModelError
from compress.fold import attribute, is_layer, operator

HOMOGENEOUS = frozenset({
    "relu", "relu_", "leaky_relu", "leaky_relu_", "dropout", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "mean",
    "flatten", "view", "reshape",
})  # fmt: skip
"""Operators that a positive factor passes through, channel by channel."""

CLIPS = frozenset({"relu6", "hardtanh", "hardtanh_"})
"""ReLU6 as torch.export writes it; other clamps end a pair."""

CEILING = 6.0
ROUNDS = 20
TOLERANCE = 1e-3
"""Rounds end when no factor is further than this from 1."""
UNCHANGED = 1e-3
"""Largest change of an output that rounding explains, in units of the output's standard deviation."""
MOST = 1e4
"""The largest factor of one round: a channel without weight has none."""


@dataclass(frozen=True)
class Pair:
    """Two layers of which the first feeds the second alone."""

    first: Node
    second: Node
    clips: tuple[Node, ...]
    """The ReLU6 between them."""


@dataclass(frozen=True)
class EqualizedGraph:
    """A graph whose channel ranges are equal across pairs of layers."""

    graph: GraphModule
    pairs: tuple[tuple[str, str], ...]
    """Names of the layers that were paired; none where no two layers follow each other."""
    opened: tuple[str, ...]
    """Nodes where ReLU6 became ReLU, because no calibration example reached 6 there."""


def layer_name(node: Node) -> str:
    """The dotted name of the module that holds a layer's weight."""
    weight = node.args[1]
    return str(weight.target).rpartition(".")[0] if isinstance(weight, Node) else node.name


def layers(graph: GraphModule) -> list[Node]:
    """The layers of a folded graph whose trained weights are their own, in call order."""
    found = [n for n in graph.graph.nodes if is_layer(n) and _owned(n.args[1])]
    return [n for n in found if isinstance(parameter(graph, n.args[1]), torch.nn.Parameter)]


def pairs(graph: GraphModule) -> list[Pair]:
    """Every two layers between which nothing but homogeneous operators lie, in call order."""
    found = []
    own = set(layers(graph))
    for second in layers(graph):
        clips: list[Node] = []
        node = second.args[0]
        while isinstance(node, Node) and node not in own and len(node.users) == 1 and _passes(node):
            clips += [node] if operator(node) in CLIPS else []
            node = node.args[0]
        if isinstance(node, Node) and node in own and len(node.users) == 1 and _fits(graph, node, second):
            found.append(Pair(node, second, tuple(clips)))
    return found


@torch.no_grad()
def equalize(graph: GraphModule, inputs: Sequence[Tensor]) -> EqualizedGraph:
    """A copy of a folded graph with its channel ranges equalized; the graph that came in is left as it is.

    `inputs` are calibration examples, one tensor (N, ...) for each input. A ReLU6 that none of them reaches the ceiling of
    becomes a ReLU; elsewhere a channel grows at most until its largest value on them is 6, and one that clips stays as it is.

    Raises:
        ModelError: the network does not compute the same afterwards: something between two layers mixes their channels.
    """
    made = GraphModule(copy.deepcopy(graph), copy.deepcopy(graph.graph))
    found = pairs(made)
    peaks = _peaks(made, {_source(clip): None for pair in found for clip in pair.clips}, inputs)
    opened = _open(made, found, peaks)
    for _ in range(ROUNDS):
        furthest = 0.0
        for pair in found:
            limits = [peaks[_source(c).name] for c in pair.clips if c.name not in opened]
            furthest = max(furthest, _even_out(made, pair, limits))
        if furthest < TOLERANCE:
            break
    made.graph.lint()
    made.recompile()
    _same(graph(*inputs), made(*inputs))
    return EqualizedGraph(made, tuple((layer_name(p.first), layer_name(p.second)) for p in found), tuple(sorted(opened)))


def _same(before: object, after: object) -> None:
    from zoo.outputs import named_outputs

    changed = named_outputs(after)
    for name, value in named_outputs(before).items():
        error, spread = float((changed[name] - value).abs().max()), float(value.float().std())
        if not error <= UNCHANGED * (spread + 1e-6):
            raise ModelError(
                f"equalization changed output {name!r} by {error:.3g}, more than {UNCHANGED:g} of its spread {spread:.3g}; "
                "the network mixes channels between two layers, so leave equalization out for it."
            )


def parameter(graph: GraphModule, node: object) -> Tensor | None:
    """The tensor that a `get_attr` node reads."""
    if not isinstance(node, Node) or node.op != "get_attr":
        return None
    return attribute(graph, node)


def _owned(node: object) -> bool:
    return isinstance(node, Node) and node.op == "get_attr" and len(node.users) == 1


def _bias(layer: Node) -> object:
    return layer.args[2] if len(layer.args) > 2 else layer.kwargs.get("bias")


def _passes(node: Node) -> bool:
    name = operator(node)
    if name in ("hardtanh", "hardtanh_"):
        return tuple(node.args[1:3]) == (0.0, CEILING)
    return name in HOMOGENEOUS or name == "relu6"


def _groups(layer: Node) -> int:
    return int(layer.args[6]) if len(layer.args) > 6 and operator(layer).startswith("conv") else 1  # type: ignore[arg-type]


def _fits(graph: GraphModule, first: Node, second: Node) -> bool:
    """Whether the second layer's input channels are the first one's output channels, and can be scaled one by one."""
    before, after = parameter(graph, first.args[1]), parameter(graph, second.args[1])
    assert before is not None
    assert after is not None
    bias, groups = _bias(first), _groups(second)
    if bias is not None and not _owned(bias):
        return False
    if operator(first) == "linear" and operator(second) != "linear":
        return False
    return len(before) == after.shape[1] if groups == 1 else groups == len(before) and after.shape[1] == 1


def _columns(weight: Tensor, groups: int) -> Tensor:
    """The weights that read each input channel: (channels, everything else)."""
    return weight.transpose(0, 1).flatten(1) if groups == 1 else weight.reshape(groups, -1)


def _even_out(graph: GraphModule, pair: Pair, limits: list[Tensor]) -> float:
    """Equalize one pair in place; how far the furthest factor was from 1."""
    before, after = parameter(graph, pair.first.args[1]), parameter(graph, pair.second.args[1])
    bias, groups = parameter(graph, _bias(pair.first)), _groups(pair.second)
    assert before is not None
    assert after is not None
    own, taken = before.abs().flatten(1).amax(1), _columns(after, groups).abs().amax(1)
    factor = torch.where((own > 0) & (taken > 0), torch.sqrt(own / taken), torch.ones_like(own)).clamp(1 / MOST, MOST)
    for peak in limits:  # what comes out may grow to the ceiling, and must not where it clips
        factor = torch.where(peak >= CEILING, torch.ones_like(factor), torch.maximum(factor, peak / CEILING))
        peak /= factor
    before /= factor.view(-1, *[1] * (before.ndim - 1))
    if bias is not None:
        bias /= factor
    if groups == 1:
        after *= factor.view(1, -1, *[1] * (after.ndim - 2))
    else:
        after *= factor.repeat_interleave(len(after) // groups).view(-1, *[1] * (after.ndim - 1))
    return float((factor - 1).abs().max())


def _source(clip: Node) -> Node:
    source = clip.args[0]
    assert isinstance(source, Node)
    return source


class _Peaks(Interpreter):
    """Runs a graph and keeps the largest value of every channel of some nodes."""

    def __init__(self, graph: GraphModule, names: set[str]) -> None:
        super().__init__(graph)
        self.names, self.found = names, dict[str, Tensor]()

    def run_node(self, n: Node) -> object:
        result = super().run_node(n)
        if n.name in self.names:
            self.found[n.name] = result.transpose(0, 1).flatten(1).amax(1).clamp_min(0)
        return result


def _peaks(graph: GraphModule, sources: dict[Node, None], inputs: Sequence[Tensor]) -> dict[str, Tensor]:
    if not sources:
        return {}
    runner = _Peaks(graph, {n.name for n in sources})
    runner.run(*inputs)
    return runner.found


def _open(graph: GraphModule, found: list[Pair], peaks: dict[str, Tensor]) -> set[str]:
    """Make a ReLU of every ReLU6 between a pair that no example reaches the ceiling of; their names."""
    opened = set()
    for clip in (c for pair in found for c in pair.clips):
        if float(peaks[_source(clip).name].max()) < CEILING:
            clip.target = torch.ops.aten.relu.default
            clip.args = (clip.args[0],)
            opened.add(clip.name)
    return opened
