"""What makes a weight or a channel matter: one line a criterion in `CRITERIA`.

A channel's score is taken over all layers that lose something with it (torch-pruning's group importance).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch_pruning as tp
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from artifacts.types import Split
from compress.training.convolutions import sound_gradients
from compress.training.loop import task_loss, tensors

BATCH = 64
PROBES = 8
"""Random vectors per batch that the Hessian's diagonal is estimated with."""

Scorer = Callable[[Any], Tensor | None]
"""torch-pruning's protocol: a group -> (channels,) scores, larger matters more; None if it cannot rank the group."""
WeightScorer = Callable[[Tensor, Tensor | None, torch.Generator], Tensor]
"""(weight, what `prepare` left as its gradient, random numbers) -> scores of the weight's shape."""
Prepare = Callable[[nn.Module, Split, NDArray[np.int64]], None]
"""(network in eval mode, data, indices) -> leaves in every parameter's `grad` what the scorers read."""


@dataclass(frozen=True)
class Criterion:
    """How one criterion ranks channels and single weights."""

    channels: Callable[[], Scorer] | None
    """None: it ranks single weights only."""
    weights: WeightScorer | None
    """None: it ranks channels only."""
    prepare: Prepare | None = None


def gradients(module: nn.Module, split: Split, indices: NDArray[np.int64]) -> None:
    """The gradient of the task's loss, summed over batches."""
    sound_gradients()
    loss = task_loss()
    for start in range(0, len(indices), BATCH):
        inputs, targets = tensors(split, indices[start : start + BATCH])
        loss(module, inputs, targets).backward()  # type: ignore[no-untyped-call]
    _fill(module)


def squared_gradients(module: nn.Module, split: Split, indices: NDArray[np.int64]) -> None:
    """The diagonal of the empirical Fisher information: the mean over examples of the squared gradient.

    Gathered here, because torch-pruning 1.6's GroupHessianImportance.accumulate_grad keeps only the last example.
    """
    sound_gradients()
    loss = task_loss()
    total = {p: torch.zeros_like(p) for p in module.parameters()}
    for index in indices:
        module.zero_grad()
        loss(module, *tensors(split, np.array([index]))).backward()  # type: ignore[no-untyped-call]
        for parameter in total:
            if parameter.grad is not None:
                total[parameter] += parameter.grad.square()
    for parameter, squares in total.items():
        parameter.grad = squares / len(indices)


def hessian_diagonal(module: nn.Module, split: Split, indices: NDArray[np.int64]) -> None:
    """The diagonal of the loss's Hessian by Hutchinson's estimator, E[v · Hv] with v = ±1 (Yao et al. 2020, arXiv:1912.07145).

    What is left of the estimate below zero is noise at a trained minimum, and is set to zero.
    """
    sound_gradients()
    loss, parameters = task_loss(), [p for p in module.parameters() if p.requires_grad]
    total = [torch.zeros_like(p) for p in parameters]
    starts = range(0, len(indices), BATCH)
    for start in starts:
        inputs, targets = tensors(split, indices[start : start + BATCH])
        with sdpa_kernel(SDPBackend.MATH):  # the fused attention kernels have no second derivative
            value = loss(module, inputs, targets)
            first = torch.autograd.grad(value, parameters, create_graph=True, allow_unused=True)
            for _ in range(PROBES):
                probes = [torch.randint_like(p, 2) * 2 - 1 for p in parameters]
                along = sum(((g * v).sum() for g, v in zip(first, probes, strict=True) if g is not None), torch.zeros(()))
                second = torch.autograd.grad(along, parameters, retain_graph=True, allow_unused=True)
                for kept, v, hv in zip(total, probes, second, strict=True):
                    if hv is not None:
                        kept += v * hv / (PROBES * len(starts))
    for parameter, diagonal in zip(parameters, total, strict=True):
        parameter.grad = diagonal.clamp_min(0)
    _fill(module)


def _fill(module: nn.Module) -> None:
    """Zeros where a parameter took no part in the loss."""
    for parameter in module.parameters():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)


def lamp(scores: Tensor) -> Tensor:
    """Each squared magnitude as a share of those at least as large (Lee et al. 2021, arXiv:2010.07611); 1 for the largest.

    >>> lamp(torch.tensor([1.0, 3.0, 4.0])).tolist()
    [0.125, 0.4285714328289032, 1.0]
    """
    ordered, order = scores.flatten().double().sort()
    rest = ordered.flip(0).cumsum(0).flip(0)  # summed from the largest down, so that small ones lose no digits
    made = torch.zeros_like(ordered)
    made[order] = ordered / rest.clamp_min(1e-300)
    return made.view_as(scores).to(scores.dtype)


def _magnitude(weight: Tensor, gradient: Tensor | None, generator: torch.Generator) -> Tensor:
    return weight.detach().abs()


def _noise(weight: Tensor, gradient: Tensor | None, generator: torch.Generator) -> Tensor:
    return torch.rand(weight.shape, generator=generator)


def _lamp(weight: Tensor, gradient: Tensor | None, generator: torch.Generator) -> Tensor:
    return lamp(weight.detach().double().square())


def _saliency(weight: Tensor, gradient: Tensor | None, generator: torch.Generator) -> Tensor:
    assert gradient is not None
    return (weight.detach() * gradient).abs()


def _curvature(weight: Tensor, gradient: Tensor | None, generator: torch.Generator) -> Tensor:
    assert gradient is not None
    return weight.detach().square() * gradient


_IMPORTANCE = tp.importance

CRITERIA: dict[str, Criterion] = {
    # a draw: the baseline that the others must beat
    "random": Criterion(_IMPORTANCE.RandomImportance, _noise),
    # L2 norm (Han et al. 2015, arXiv:1506.02626; over coupled layers Fang et al. 2023, arXiv:2301.12900)
    "magnitude": Criterion(partial(_IMPORTANCE.GroupMagnitudeImportance, p=2), _magnitude),
    # L1 norm (Li et al. 2017, arXiv:1608.08710)
    "magnitude-l1": Criterion(partial(_IMPORTANCE.GroupMagnitudeImportance, p=1), _magnitude),
    # |gamma| as it stands, comparable from layer to layer (network slimming: Liu et al. 2017, arXiv:1708.06519)
    "bn-scale": Criterion(partial(_IMPORTANCE.BNScaleImportance, normalizer=None), None),
    # |gradient x weight| (Molchanov et al. 2017, arXiv:1611.06440, and 2019, arXiv:1906.10771)
    "taylor": Criterion(_IMPORTANCE.GroupTaylorImportance, None, gradients),
    # |gradient x weight| of single weights (SNIP: Lee et al. 2019, arXiv:1810.02340)
    "snip": Criterion(None, _saliency, gradients),
    # weight^2 x the Hessian's diagonal (optimal brain damage: LeCun et al. 1989)
    "hessian": Criterion(_IMPORTANCE.GroupHessianImportance, _curvature, hessian_diagonal),
    # weight^2 x mean squared gradient (Theis et al. 2018, arXiv:1801.05787)
    "fisher": Criterion(_IMPORTANCE.GroupHessianImportance, _curvature, squared_gradients),
    # squared magnitude over the sum of those that are larger (Lee et al. 2021, arXiv:2010.07611)
    "lamp": Criterion(partial(_IMPORTANCE.GroupMagnitudeImportance, p=2, normalizer=lamp), _lamp),
}
"""By the name that a recipe uses; `PruneConfig.criterion` lists the same names."""


def score_weights(
    name: str, module: nn.Module, weights: dict[str, Tensor], split: Split | None, indices: NDArray[np.int64], seed: int
) -> dict[str, Tensor]:
    """Scores of every weight, by parameter name, each of its weight's shape; larger matters more.

    Raises:
        ValueError: the criterion ranks channels only, or needs data and there is none.
    """
    criterion, generator = CRITERIA[name], torch.Generator().manual_seed(seed)
    if criterion.weights is None:
        raise ValueError(f"criterion {name!r} ranks channels, not single weights")
    if criterion.prepare:
        if split is None:
            raise ValueError(f"criterion {name!r} needs data")
        torch.manual_seed(seed)
        module.eval()
        criterion.prepare(module, split, indices)
    made = {n: criterion.weights(w, w.grad, generator) for n, w in weights.items()}
    module.zero_grad()
    return {n: torch.nan_to_num(s, nan=0.0, posinf=math.inf) for n, s in made.items()}
