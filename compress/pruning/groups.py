"""Which channels can leave together, and which cannot leave at all.

Groups of coupled channels come from torch-pruning's dependency graph (Fang et al. 2023, arXiv:2301.12900). Every group
is cut on a copy first and held against the same network with those channels silenced; groups that would change
what the network computes (reshapes, padded shortcuts, fused projections) are left whole and named.
"""

import copy
from collections.abc import Mapping
from functools import partial

import torch
from torch import nn

from artifacts.errors import ModelError
from artifacts.types import Arrays, Cut, TorchModel
from compress.edits.cuts import channel_group, graph, make_cut, silence, silenced, width
from zoo.calling import call
from zoo.outputs import named_outputs

MIXES_CHANNELS = (nn.LayerNorm, nn.GroupNorm)
"""Layers whose statistics change with the channels that are there; what they scale must still be followed rightly."""


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
            tied = sorted(n for m, n in names.items() if _grouped(m) and any(d.target.module is m for d, _ in group))
            refused[layer] = f"{reason}; it is tied to the grouped convolution {tied[0]!r}" if tied else reason
        else:
            good.append(layer)
    return good, refused


def _grouped(layer: nn.Module) -> bool:
    """Whether a convolution has groups of several channels, which depthwise ones do not."""
    return isinstance(layer, nn.Conv1d | nn.Conv2d) and 1 < layer.groups < max(layer.in_channels, layer.out_channels)


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
    try:
        dependencies = graph(trial, example)
        root = trial.get_submodule(cut.layer)
        reference = silenced(trial, channel_group(dependencies, trial, cut))
        left = width(root) - len(cut.channels)
        make_cut(dependencies, trial, cut)
        if width(root) != left:
            return "its channels are tied to each other (split and joined again), so each cut takes others with it"
        return _difference(reference, trial, example)
    except Exception as error:
        return f"cutting it fails: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


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
            return "channels are moved on their way (padding, reshape or split), so cutting it computes something else"
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
