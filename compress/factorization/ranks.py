"""Which layers can be split into pairs of lower rank, and what each rank would hold and cost."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from artifacts.errors import ModelError, nearest
from artifacts.types import Arrays
from compress.configs import FactorizeConfig
from compress.edits.pairs import kind_of, matrix
from zoo.calling import call


@dataclass(frozen=True)
class Candidate:
    """A layer that can be split."""

    name: str
    kind: str
    """See `artifacts.types.Factor`."""
    energy: NDArray[np.float64]
    """(full rank,): share of the squared singular values that rank 1, 2, ... holds."""
    macs: int
    """Of the layer, for one example."""
    macs_per_rank: int
    """Of its pair, for one example and each unit of rank."""
    shape: tuple[int, ...]
    """Of its input for one example."""

    def rank(self, config: FactorizeConfig, energy: float | None) -> int:
        """The rank that the config asks for, aligned; `energy` where it is searched for.

        >>> Candidate("a", "linear", np.array([0.5, 0.9, 1.0]), 9, 6, (1, 3)).rank(FactorizeConfig(energy=0.8, align=1), None)
        2
        """
        share = energy if energy is not None else config.energy
        full = len(self.energy)
        if share is not None:
            wanted = min(full, int(np.searchsorted(self.energy, share - 1e-9)) + 1)
        else:
            wanted = math.ceil(float(config.rank_share or 1) * full - 1e-9)
        return min(full, math.ceil(wanted / config.align) * config.align)

    def saving(self, rank: int) -> int:
        """MACs that the pair saves; negative where it costs more."""
        return self.macs - rank * self.macs_per_rank


def survey(module: nn.Module, config: FactorizeConfig, example: Arrays) -> tuple[dict[str, Candidate], dict[str, str]]:
    """The layers that can be split, in the order they run, and those that cannot, with the reason.

    Raises:
        ModelError: `keep_whole` names a layer that is not there.
    """
    layers = {n: m for n, m in module.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    for name in config.keep_whole:
        if name not in layers:
            raise ModelError(f"factorize: keep_whole names {name!r}, which is no linear or 2-d convolution layer of the model; "
                             f"{nearest(name, layers)}.")  # fmt: skip
    seen = called(module, layers, example)
    owners = owners_of(module)
    found, refused = {}, {}
    for name, layer in layers.items():
        reason = "the recipe keeps it whole" if name in config.keep_whole else _objection(name, layer, seen, owners)
        if reason:
            refused[name] = reason
        else:
            found[name] = _candidate(name, layer, config, seen[name])
    return {name: found[name] for name in seen if name in found}, refused


Shapes = list[tuple[tuple[int, ...], tuple[int, ...]]]
"""Input and output shape of every call of a layer, for one example."""


def called(module: nn.Module, layers: Mapping[str, nn.Module], example: Arrays) -> dict[str, Shapes]:
    """The layers that are called when the network runs, in that order."""
    seen: dict[str, Shapes] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen.setdefault(name, []).append((tuple(inputs[0].shape), tuple(output.shape)))

        return hook

    hooks = [layer.register_forward_hook(note(name)) for name, layer in layers.items()]
    try:
        run(module, example)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def owners_of(module: nn.Module) -> dict[int, int]:
    """How many layers hold a parameter, by the parameter's id."""
    owners: dict[int, int] = {}
    for part in module.modules():
        for parameter in part._parameters.values():
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    return owners


@torch.no_grad()
def run(module: nn.Module, example: Arrays) -> object:
    """One example through the network in eval mode; the mode is restored."""
    training = module.training
    module.eval()
    try:
        return call(module, {name: array[:1] for name, array in example.items()})
    finally:
        module.train(training)


def _objection(name: str, layer: nn.Linear | nn.Conv2d, seen: Mapping[str, Shapes], owners: Mapping[int, int]) -> str | None:
    if not name:
        return "it is the whole model"
    if type(layer) not in (nn.Linear, nn.Conv2d):
        return f"it is a {type(layer).__name__}, of which others may use more than the result"
    if isinstance(layer, nn.Conv2d) and layer.groups > 1:
        return f"its channels are in {layer.groups} groups, which already are small"
    if name not in seen:
        return "it is not called when the model runs"
    if owners[id(layer.weight)] > 1:
        return "it shares its weight with another layer"
    return None


def _candidate(name: str, layer: nn.Linear | nn.Conv2d, config: FactorizeConfig, calls: Shapes) -> Candidate:
    kind = kind_of(layer, config.conv)
    energies = torch.linalg.svdvals(matrix(layer, kind)).square().cumsum(0)
    total = float(energies[-1])
    share = (energies / total).numpy() if total > 0 else np.ones(len(energies))
    macs = sum(math.prod(made) for _, made in calls) * layer.weight[0].numel()
    if isinstance(layer, nn.Linear):
        per_rank = sum(math.prod(made[:-1]) for _, made in calls) * (layer.in_features + layer.out_features)
    elif kind == "channel":
        positions = sum(math.prod(made[-2:]) for _, made in calls)
        per_rank = positions * (layer.weight[0].numel() + layer.out_channels)
    else:
        high, wide = layer.kernel_size
        per_rank = sum(
            made[-2] * (given[-1] * layer.in_channels * high + made[-1] * wide * layer.out_channels) for given, made in calls
        )
    return Candidate(name, kind, share, macs, per_rank, calls[0][0])
