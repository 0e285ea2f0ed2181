"""Which channels can leave together, and which cannot leave at all.

Groups of coupled channels come from torch-pruning's dependency graph (Fang et al. 2023, arXiv:2301.12900). Every group
is cut on a copy first and held against the same network with those channels silenced: one channel at a time, and where
that would change what the network computes in units of channels (`units`). Groups for which no unit will do (shuffles,
padded shortcuts, reshapes to fixed numbers) are left whole and named.
"""

import copy
from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
import torch_pruning as tp
from torch import nn

from artifacts.errors import ModelError
from artifacts.types import Arrays, Cut, TorchModel
from compress.edits.cuts import channel_group, graph, silence, silenced, width
from compress.pruning.reasons import MOVED, OUTPUT, TIED, UNEQUAL, computed, of_error, tied_to
from compress.pruning.units import Units, candidates
from zoo.calling import call
from zoo.outputs import named_outputs

MIXES_CHANNELS = (nn.LayerNorm, nn.GroupNorm)
"""Layers whose statistics change with the channels that are there; what they scale must still be followed rightly."""


LAYERS = (nn.modules.conv._ConvNd, nn.Linear, nn.RNNBase)
"""What may lose output channels (features) of its own."""


def cuttable(model: TorchModel, example: Arrays) -> tuple[dict[str, Units], dict[str, str]]:
    """Layers whose output channels can be cut, with which of them leave together, and those that cannot, with the reason.

    Raises:
        ModelError: the network cannot be traced.
    """
    module = model.module
    try:
        dependencies = graph(module, example)
        groups = list(dependencies.get_all_groups(root_module_types=LAYERS))
    except Exception as error:
        raise ModelError(f"the model cannot be traced for pruning: {type(error).__name__}: {error}.") from error
    names = {m: n for n, m in module.named_modules()}
    good, refused = {}, {}
    for group in groups:
        layer = names[group[0].dep.target.module]
        found = _units(dependencies, group, module, layer, example)
        if isinstance(found, Units):
            good[layer] = found
        else:
            refused[layer] = found
    return good, refused


def _units(
    dependencies: tp.DependencyGraph, group: tp.dependency.Group, module: nn.Module, layer: str, example: Arrays
) -> Units | str:
    """How the channels of a layer can leave; why they cannot, if there is no way."""
    total = width(module.get_submodule(layer))
    if _is_output(group):
        return OUTPUT
    if total < 2:
        return "it has a single channel"
    names = {m: n for n, m in module.named_modules()}
    if reason := computed(group, names):
        return reason
    reasons = []
    for units in candidates(dependencies, group, total):
        reason = _objection(module, layer, units, example)
        if reason is None:
            return units
        reasons.append(reason)
    if not reasons:
        return "its channels do not fall into units that could leave"
    # that they are tied says less than why they cannot leave together
    telling = UNEQUAL if UNEQUAL in reasons else next((r for r in reasons if r != TIED), TIED)
    return f"{telling}{tied_to(group, names)}"


def _is_output(group: tp.dependency.Group) -> bool:
    """Whether channels reach an end of the network and no layer on their way takes them as inputs."""
    ends = any(isinstance(d.target.module, tp.ops._OutputOp) or not d.target.outputs for d, _ in group)
    return ends and not any(d.handler.__name__ == "prune_in_channels" and isinstance(d.target.module, LAYERS) for d, _ in group)


def _objection(module: nn.Module, layer: str, units: Units, example: Arrays) -> str | None:
    """Why cutting units of `layer` would break the network, found by doing it on copies: the first, then every second."""
    total = width(module.get_submodule(layer))
    for chosen in ([0], list(range(1, total // units.size, 2))):
        cut = Cut(layer, True, units.channels(chosen, total))
        reason = _trial(copy.deepcopy(module).eval(), cut, example)
        if reason:
            return reason
    return None


def _trial(trial: nn.Module, cut: Cut, example: Arrays) -> str | None:
    """Cut `trial`, which is ours to spoil, and hold it against itself with those channels silenced."""
    try:
        dependencies = graph(trial, example)
        root, group = trial.get_submodule(cut.layer), channel_group(dependencies, trial, cut)
        left = width(root) - len(cut.channels)
        uneven = _uneven(group)
        reference = silenced(trial, group)
        group.prune()
        if width(root) != left:
            return TIED
        return _difference(reference, trial, example) or (UNEQUAL if uneven else None)
    except Exception as error:
        return of_error(error)


def _uneven(group: tp.dependency.Group) -> bool:
    """Whether a group norm would lose more channels of one of its groups than of another, so that others change groups."""
    for dependency, channels in group:
        norm = dependency.target.module
        if isinstance(norm, nn.GroupNorm) and norm.num_groups > 1:
            lost = np.bincount(np.array(channels) // (norm.num_channels // norm.num_groups), minlength=norm.num_groups)
            if len(set(lost.tolist())) > 1:
                return True
    return False


def check_cuts(before: nn.Module, after: nn.Module, cuts: list[Cut], example: Arrays) -> None:
    """Hold a cut network against the one it was cut from with all those channels silenced at once; both stay as they are.

    Raises:
        ModelError: they compute something else, or it does not run.
    """
    reference, trial = copy.deepcopy(before).eval(), copy.deepcopy(after).eval()
    dependencies = graph(reference, example)
    # the groups are all taken from the network as it was, so that none is looked for in one that is silenced already
    groups = [channel_group(dependencies, reference, cut) for cut in cuts]
    for group in groups:
        silence(reference, group)
    try:
        reason = _difference(reference, trial, example)
    except Exception as error:
        reason = f"it does not run: {type(error).__name__}: {error}"
    if reason:
        layers = ", ".join(cut.layer for cut in cuts)
        raise ModelError(f"the cut network is not the network with those channels silent ({reason}); cut together: {layers}.")


def _difference(reference: nn.Module, trial: nn.Module, example: Arrays) -> str | None:
    """How two networks, which are ours to spoil, differ on an example; None if they agree to rounding.

    They are compared in double precision, where a small difference is one; networks that fix their precision in single.
    """
    with torch.no_grad():
        call(trial, example)
    for network in (reference, trial):
        _without_statistics(network)
    try:
        (expected, found), near = _run(reference, trial, example, torch.float64), (1e-5, 1e-5)
    except Exception:
        (expected, found), near = _run(reference, trial, example, torch.float32), (1e-3, 1e-4)
    for name, wanted in expected.items():
        if wanted.shape != found[name].shape:
            return f"cutting it changes the output's shape from {tuple(wanted.shape)} to {tuple(found[name].shape)}"
        spread = float(wanted.double().std(correction=0))
        if not torch.allclose(wanted.double(), found[name].double(), rtol=near[0], atol=near[1] * spread + 1e-7):
            return MOVED
    return None


@torch.no_grad()
def _run(reference: nn.Module, trial: nn.Module, example: Arrays, dtype: torch.dtype) -> list[Mapping[str, torch.Tensor]]:
    inputs = _inputs(example, dtype)
    return [named_outputs(call(network.to(dtype), inputs)) for network in (reference, trial)]


def _inputs(example: Arrays, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    made = {name: torch.from_numpy(array) for name, array in example.items()}
    return {name: x.to(dtype) if x.is_floating_point() else x for name, x in made.items()}


def _without_statistics(network: nn.Module) -> None:
    """Leave of each norm over channels only its scale and offset, which do not depend on what other channels hold."""

    def scaled(norm: nn.LayerNorm | nn.GroupNorm, x: torch.Tensor) -> torch.Tensor:
        if norm.weight is None:
            return x
        shape = (-1, *[1] * (x.ndim - 2)) if isinstance(norm, nn.GroupNorm) else norm.weight.shape
        made: torch.Tensor = x * norm.weight.view(shape) + (0 if norm.bias is None else norm.bias.view(shape))
        return made

    for module in network.modules():
        if isinstance(module, MIXES_CHANNELS):
            module.forward = partial(scaled, module)  # type: ignore[method-assign]
