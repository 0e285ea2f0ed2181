"""Structured pruning: channels leave the network, with their batch-norm entries and all that consumed them."""

import copy
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from artifacts.errors import ModelError
from artifacts.types import Arrays, Cut, Split, TorchModel
from compress.configs import PruneConfig
from compress.counting import Cost, cost_of
from compress.criteria import CRITERIA
from compress.edits.cuts import cut_masks, graph, make_cut, width
from compress.pruning.groups import LAYERS, check_cuts, cuttable
from compress.pruning.reasons import listed
from compress.pruning.units import SINGLE, Units

__all__ = ["Group", "check_cuts", "cut_to", "cuts_below", "cuttable", "rank", "widths", "with_cuts"]

UNITS = {"macs": "MACs", "parameters": "parameters", "bytes": "bytes", "latency": "ms"}


@dataclass(frozen=True)
class Group:
    """Channels that can only leave together, and how much each matters."""

    layer: str
    """The layer whose output channels are cut; the others follow."""
    scores: NDArray[np.float64]
    """(channels,): larger matters more; the same for all channels of a unit."""
    units: Units = SINGLE
    """Which of them leave together."""

    def step(self, align: int) -> int:
        """The least step between widths that are multiples of `align` and leave units whole."""
        return math.lcm(align, self.units.size)

    def worst(self, number: int) -> tuple[int, ...]:
        """The channels of the units that matter least, so many (a multiple of the units' size), in order."""
        numbers = self.units.numbers(len(self.scores))
        order = np.lexsort((numbers, self.scores))
        return tuple(sorted(int(i) for i in order[:number]))


def rank(
    model: TorchModel,
    layers: Collection[str] | Mapping[str, Units],
    config: PruneConfig,
    split: Split,
    indices: NDArray[np.int64],
    seed: int,
) -> list[Group]:
    """Score every channel of every group with the config's criterion; a group that it cannot rank is left out.

    `layers` are their names, or what `cuttable` says of them; channels of a unit all get the mean of what each scores.
    With `ranking: local` a score is the channel's place in its own group, (0..1], so that one threshold takes the same
    share from every group.
    """
    module = copy.deepcopy(model.module).eval()
    example = split.batch(indices[:2])[0]
    criterion = CRITERIA.find(config.criterion)
    if criterion.channels is None:
        raise ValueError(f"criterion {config.criterion!r} ranks single weights, not channels")
    torch.manual_seed(seed)
    if criterion.prepare:
        criterion.prepare(module, split, indices)
    dependencies, scorer, groups = graph(module, example), criterion.channels(), []
    for name in layers:
        layer = module.get_submodule(name)
        remove = dependencies.get_pruner_of_module(layer).prune_out_channels
        found = scorer(dependencies.get_pruning_group(layer, remove, list(range(width(layer)))))
        if found is not None:
            scores = np.nan_to_num(found.detach().double().numpy())  # a group of zeros has no mean to be divided by
            units = layers[name] if isinstance(layers, Mapping) else SINGLE
            scores = _together(scores, units)
            groups.append(Group(name, _places(scores, units) if config.ranking == "local" else scores, units))
    return groups


def _together(scores: NDArray[np.float64], units: Units) -> NDArray[np.float64]:
    """Each unit's mean, at all of its channels."""
    if units.size == 1:
        return scores
    numbers = units.numbers(len(scores))
    means: NDArray[np.float64] = (np.bincount(numbers, scores) / units.size)[numbers]
    return means


def _places(scores: NDArray[np.float64], units: Units) -> NDArray[np.float64]:
    """Each unit's place among them, as a share: 1 for the largest."""
    numbers = units.numbers(len(scores))
    own = np.zeros(len(scores) // units.size)
    own[numbers] = scores
    places = np.empty(len(own))
    places[np.argsort(own, kind="stable")] = (np.arange(len(own)) + 1) / len(own)
    return places[numbers]


def cuts_below(groups: list[Group], threshold: float, align: int) -> list[Cut]:
    """The channels that score below a threshold, as many as leaves an aligned width of at least `align` in each group."""
    cuts = []
    for group in groups:
        total, step = len(group.scores), group.step(align)
        keep = int((group.scores >= threshold).sum())
        keep = max(min(step, total), -(-keep // step) * step)
        if keep < total:
            cuts.append(Cut(group.layer, True, group.worst(total - keep)))
    return cuts


def cut_to(
    model: TorchModel,
    groups: list[Group],
    goal: float,
    align: int,
    example: Arrays,
    cost: Cost | None = None,
    metric: str = "macs",
    not_cut: Mapping[str, str] | None = None,
) -> TorchModel:
    """Remove the channels that matter least, over all groups, until the measured cost is at most `goal`.

    `cost` measures a network in eval mode, in the units of `goal`; by default it is what `metric` names (`macs`,
    `parameters`, `bytes`). It must not grow as channels leave, or the search may end above the least cut that is enough.
    Aligned widths move in steps, and a wide group may overshoot: what it cut too much is then given back where it fits.
    The result is held against `model` with the same channels silenced. `not_cut` says why layers stay whole, for the
    message.

    Raises:
        ModelError: the cost cannot be brought that low, or the cut network does not compute what it should.
    """
    thresholds = np.append(np.unique(np.concatenate([g.scores for g in groups]) if groups else np.zeros(0)), np.inf)
    measure = cost or cost_of(metric, example)

    def fits(cuts: list[Cut]) -> bool:
        return measure(with_cuts(model, cuts, example).module) <= goal

    low, high = 0, len(thresholds) - 1
    if not fits(cuts_below(groups, thresholds[high], align)):
        smallest = measure(with_cuts(model, cuts_below(groups, thresholds[high], align), example).module)
        raise ModelError(
            f"pruning cannot reach {_number(goal)} {UNITS.get(metric, metric)}: with every group at its smallest width "
            f"{_number(smallest)} are left; raise '{metric}' or lower 'align' ({align}).{listed(not_cut or {})}"
        )
    while low < high:
        middle = (low + high) // 2
        if fits(cuts_below(groups, thresholds[middle], align)):
            high = middle
        else:
            low = middle + 1
    made = with_cuts(model, _give_back(cuts_below(groups, thresholds[high], align), groups, align, fits), example)
    check_cuts(model.module, made.module, [e for e in made.edits[len(model.edits) :] if isinstance(e, Cut)], example)
    return made


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _give_back(cuts: list[Cut], groups: list[Group], align: int, fits: Callable[[list[Cut]], bool]) -> list[Cut]:
    """Take back an aligned step of channels at a time, the best-scoring first, as long as the network still fits."""
    known = {g.layer: g for g in groups}
    scores = {n: g.scores for n, g in known.items()}
    kept, stuck = {c.layer: c for c in cuts}, set[str]()
    while len(stuck) < len(kept):
        # the channels a group would get back are the best of those it lost
        left_of = {n: known[n].worst(max(0, len(c.channels) - known[n].step(align))) for n, c in kept.items() if n not in stuck}
        offers = {n: sorted(set(kept[n].channels) - set(left)) for n, left in left_of.items()}
        name = max(offers, key=lambda n: float(np.mean(scores[n][offers[n]])))
        left = left_of[name]
        trial = {**kept, name: Cut(name, True, left)}
        if fits([c for c in trial.values() if c.channels]):
            kept = trial
            if not left:
                stuck.add(name)
        else:
            stuck.add(name)
    return [c for c in kept.values() if c.channels]


def with_cuts(model: TorchModel, cuts: list[Cut], example: Arrays) -> TorchModel:
    """A copy of the network with these cuts made and recorded, its masks cut along; what was there is left as it is."""
    module = copy.deepcopy(model.module).eval()
    dependencies = graph(module, example)
    for cut in cuts:
        make_cut(dependencies, module, cut)
    masks = cut_masks(model.module, model.masks, cuts, example)
    return replace(model, module=module, edits=(*model.edits, *cuts), masks=masks)


def widths(module: nn.Module) -> Mapping[str, int]:
    """Output channels of every convolution, linear and recurrent layer."""
    return {n: width(m) for n, m in module.named_modules() if isinstance(m, LAYERS)}
