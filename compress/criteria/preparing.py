"""What criteria read beside the weights: gradients of the task's loss, their squares, and its curvature."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from artifacts.types import Split
from compress.losses.choice import TaskLoss
from compress.training.convolutions import sound_gradients
from compress.training.loop import task_loss, tensors

_LOSS: ContextVar[TaskLoss | None] = ContextVar("loss", default=None)

BATCH = 64
PROBES = 8
"""Random vectors per batch that the Hessian's diagonal is estimated with."""


@contextmanager
def minimizing(loss: TaskLoss | None) -> Iterator[None]:
    """Within the block criteria read gradients of this loss, which is the usual one elsewhere."""
    token = _LOSS.set(loss)
    try:
        yield
    finally:
        _LOSS.reset(token)


def gradients(module: nn.Module, split: Split, indices: NDArray[np.int64]) -> None:
    """The gradient of the task's loss, summed over batches."""
    sound_gradients()
    loss = task_loss(loss=_LOSS.get())
    for start in range(0, len(indices), BATCH):
        inputs, targets = tensors(split, indices[start : start + BATCH])
        loss(module, inputs, targets).backward()  # type: ignore[no-untyped-call]
    _fill(module)


def squared_gradients(module: nn.Module, split: Split, indices: NDArray[np.int64]) -> None:
    """The diagonal of the empirical Fisher information: the mean over examples of the squared gradient.

    Gathered here, because torch-pruning 1.6's GroupHessianImportance.accumulate_grad keeps only the last example.
    """
    sound_gradients()
    loss = task_loss(loss=_LOSS.get())
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
    loss, parameters = task_loss(loss=_LOSS.get()), [p for p in module.parameters() if p.requires_grad]
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
