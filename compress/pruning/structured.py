"""Structured pruning: channels leave the network, with their batch-norm entries and all that consumed them.

Groups of coupled channels come from torch-pruning's dependency graph (Fang et al. 2023, arXiv:2301.12900). Every group
is cut on a copy first and held against the same network with those channels silenced; groups that would change
what the network computes (reshapes, padded shortcuts, fused projections) are left whole and named.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import torch_pruning as tp
from numpy.typing import NDArray
from torch import nn

from artifacts.errors import ModelError
from artifacts.types import Arrays, Cut, Split, TorchModel
from compress.configs import PruneConfig
from compress.counting import macs
from compress.cuts import graph, make_cut, silenced, width
from compress.loop import task_loss, tensors
from zoo.models import named_outputs

MIXES_CHANNELS = (nn.LayerNorm, nn.GroupNorm)
"""Layers whose statistics change with the channels that are there; what they scale must still be followed rightly."""


@dataclass(frozen=True)
class Group:
    """Channels that can only leave together, and how much each matters."""

    layer: str
    """The layer whose output channels are cut; the others follow."""
    scores: NDArray[np.float64]
    """(channels,): larger matters more."""


def importance(criterion: str) -> Any:
    """torch-pruning's scorer of this name: L2 magnitude, first-order Taylor, batch-norm scale, or random."""
    made = {
        "magnitude": tp.importance.GroupMagnitudeImportance,
        "taylor": tp.importance.GroupTaylorImportance,
        "bn-scale": tp.importance.BNScaleImportance,
        "random": tp.importance.RandomImportance,
    }
    return made[criterion]()


def cuttable(model: TorchModel, example: Arrays) -> tuple[list[str], dict[str, str]]:
    """Layers whose output channels can be cut, and those that cannot, with the reason.

    Raises:
        ModelError: the network cannot be traced.
    """
    module = model.module
    outputs = {n for n, m in module.named_modules() if _is_output(model, m)}
    names = {m: n for n, m in module.named_modules()}
    try:
        groups = list(graph(module, example).get_all_groups(root_module_types=[nn.Conv2d, nn.Conv1d, nn.Linear]))
    except Exception as error:
        raise ModelError(f"the model cannot be traced for pruning: {type(error).__name__}: {error}.") from error
    good, refused = [], {}
    for group in groups:
        layer = names[group[0].dep.target.module]
        members = {
            names[d.target.module] for d, _ in group if d.target.module in names and d.handler.__name__.startswith("prune_out")
        }
        reason = "it makes the model's output" if members & outputs else _objection(module, layer, example)
        if reason:
            refused[layer] = reason
        else:
            good.append(layer)
    return good, refused


def _is_output(model: TorchModel, layer: nn.Module) -> bool:
    """Whether a layer's result is the network's result: the last linear or convolution layer."""
    layers = [m for m in model.module.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.Conv1d)]
    return bool(layers) and layer is layers[-1]


def _objection(module: nn.Module, layer: str, example: Arrays) -> str | None:
    """Why cutting channels of `layer` would break the network, found by doing it on copies: the first, then every second."""
    total = width(module.get_submodule(layer))
    if total < 2:
        return "it has a single channel"
    for channels in ((0,), tuple(range(1, total, 2))):
        reason = _trial(copy.deepcopy(module).eval(), Cut(layer, True, channels), example)
        if reason:
            return reason
    return None


def _trial(trial: nn.Module, cut: Cut, example: Arrays) -> str | None:
    """Cut `trial`, which is ours to spoil, and hold it against itself with those channels silenced."""
    inputs = tuple(torch.from_numpy(a) for a in example.values())
    try:
        dependencies = graph(trial, example)
        root = trial.get_submodule(cut.layer)
        remove = dependencies.get_pruner_of_module(root).prune_out_channels
        reference = silenced(trial, dependencies.get_pruning_group(root, remove, list(cut.channels)))
        left = width(root) - len(cut.channels)
        make_cut(dependencies, trial, cut)
        if width(root) != left:
            return "its channels are tied to each other (split and joined again), so each cut takes others with it"
        with torch.no_grad():
            trial(*inputs)
            for network in (reference, trial):
                _without_statistics(network)
            expected, found = named_outputs(reference(*inputs)), named_outputs(trial(*inputs))
    except Exception as error:
        return f"cutting it fails: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    for name, wanted in expected.items():
        if wanted.shape != found[name].shape:
            return f"cutting it changes the output's shape from {tuple(wanted.shape)} to {tuple(found[name].shape)}"
        spread = float(wanted.double().std(correction=0))
        if not torch.allclose(wanted.double(), found[name].double(), rtol=1e-3, atol=1e-4 * spread + 1e-7):
            return "channels are moved on their way (padding, reshape or split), so cutting it computes something else"
    return None


def _without_statistics(network: nn.Module) -> None:
    """Leave of each norm over channels only its scale and offset, which do not depend on what other channels hold."""

    def scaled(norm: Any, x: torch.Tensor) -> torch.Tensor:
        if norm.weight is None:
            return x
        shape = (-1, *[1] * (x.ndim - 2)) if isinstance(norm, nn.GroupNorm) else norm.weight.shape
        made: torch.Tensor = x * norm.weight.view(shape) + (0 if norm.bias is None else norm.bias.view(shape))
        return made

    for module in network.modules():
        if isinstance(module, MIXES_CHANNELS):
            module.forward = partial(scaled, module)  # type: ignore[method-assign]


def rank(
    model: TorchModel, layers: list[str], config: PruneConfig, split: Split, indices: NDArray[np.int64], seed: int
) -> list[Group]:
    """Score every channel of every group with the config's criterion."""
    module = copy.deepcopy(model.module).eval()
    example = split.batch(indices[:2])[0]
    torch.manual_seed(seed)
    if config.criterion == "taylor":
        loss = task_loss()
        for start in range(0, len(indices), 64):
            inputs, targets = tensors(split, indices[start : start + 64])
            loss(module, inputs, targets).backward()  # type: ignore[no-untyped-call]
    dependencies, scorer, groups = graph(module, example), importance(config.criterion), []
    for name in layers:
        layer = module.get_submodule(name)
        remove = dependencies.get_pruner_of_module(layer).prune_out_channels
        group = dependencies.get_pruning_group(layer, remove, list(range(width(layer))))
        scores = scorer(group)
        if scores is not None:
            groups.append(Group(name, scores.detach().double().numpy()))
    return groups


def cuts_below(groups: list[Group], threshold: float, align: int) -> list[Cut]:
    """The channels that score below a threshold, as many as leaves an aligned width of at least `align` in each group."""
    cuts = []
    for group in groups:
        total = len(group.scores)
        keep = int((group.scores >= threshold).sum())
        keep = max(min(align, total), -(-keep // align) * align)
        if keep < total:
            worst = np.argsort(group.scores, kind="stable")[: total - keep]
            cuts.append(Cut(group.layer, True, tuple(sorted(int(i) for i in worst))))
    return cuts


def cut_to(model: TorchModel, groups: list[Group], goal: float, align: int, example: Arrays) -> TorchModel:
    """Remove the channels that matter least, over all groups, until the measured MACs are at most `goal`.

    Aligned widths move in steps, and a wide group may overshoot: what it cut too much is then given back where it fits.

    Raises:
        ModelError: the MACs cannot be brought that low.
    """
    thresholds = np.append(np.unique(np.concatenate([g.scores for g in groups]) if groups else np.zeros(0)), np.inf)

    def cost(cuts: list[Cut]) -> float:
        return macs(with_cuts(model, cuts, example).module, example)

    low, high = 0, len(thresholds) - 1
    smallest = cost(cuts_below(groups, thresholds[high], align))
    if smallest > goal:
        raise ModelError(
            f"pruning cannot reach {goal:,.0f} MACs: with every group at its smallest width {smallest:,.0f} are left; "
            f"raise 'macs' or lower 'align' ({align})."
        )
    while low < high:
        middle = (low + high) // 2
        if cost(cuts_below(groups, thresholds[middle], align)) <= goal:
            high = middle
        else:
            low = middle + 1
    cuts = _give_back(cuts_below(groups, thresholds[high], align), groups, align, lambda c: cost(c) <= goal)
    return with_cuts(model, cuts, example)


def _give_back(cuts: list[Cut], groups: list[Group], align: int, fits: Callable[[list[Cut]], bool]) -> list[Cut]:
    """Take back `align` channels at a time, the best-scoring first, as long as the network still fits."""
    scores = {g.layer: g.scores for g in groups}
    kept, stuck = {c.layer: c for c in cuts}, set[str]()
    while len(stuck) < len(kept):
        # the channels a group would get back are the best of those it lost
        offers = {n: sorted(c.channels, key=lambda i, n=n: -scores[n][i])[:align] for n, c in kept.items() if n not in stuck}  # type: ignore[misc]
        name = max(offers, key=lambda n: float(np.mean(scores[n][offers[n]])))
        left = tuple(i for i in kept[name].channels if i not in offers[name])
        trial = {**kept, name: Cut(name, True, left)}
        if fits([c for c in trial.values() if c.channels]):
            kept = trial
            if not left:
                stuck.add(name)
        else:
            stuck.add(name)
    return [c for c in kept.values() if c.channels]


def with_cuts(model: TorchModel, cuts: list[Cut], example: Arrays) -> TorchModel:
    """A copy of the network with these cuts made and recorded; what was there is left as it is."""
    module = copy.deepcopy(model.module).eval()
    dependencies = graph(module, example)
    for cut in cuts:
        make_cut(dependencies, module, cut)
    return replace(model, module=module, edits=(*model.edits, *cuts))


def widths(module: nn.Module) -> Mapping[str, int]:
    """Output channels of every convolution and linear layer."""
    return {n: width(m) for n, m in module.named_modules() if isinstance(m, nn.Conv1d | nn.Conv2d | nn.Linear)}
