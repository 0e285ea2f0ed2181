"""Mixup and CutMix: a batch whose examples are mixtures of two. The caller's tensors are left as they are."""

import torch
from torch import Tensor

from artifacts.errors import DataError
from compress.training.batches import Inputs, Mixed, Targets


def mix(inputs: Inputs, targets: Tensor | dict[str, Tensor], mixup: float, cutmix: float) -> tuple[Inputs, Targets]:
    """The batch mixed with a permutation of itself, by mixup or CutMix; with both set, one of them is drawn per batch.

    Draws from torch's global generator. Real-valued targets are blended; class numbers become `Mixed`.

    Raises:
        DataError: the inputs or targets are of a kind that cannot be mixed.
    """
    if not mixup and not cutmix:
        return inputs, targets
    if isinstance(targets, dict):
        raise DataError("'mixup' and 'cutmix' blend one target per example, and the data's are by name: leave them out.")
    _check(inputs, targets, cutmix)
    pasting = bool(cutmix) and (not mixup or bool(torch.rand(()) < 0.5))
    spread = torch.tensor(cutmix if pasting else mixup)
    share = torch.distributions.Beta(spread, spread).sample()
    order = torch.randperm(len(targets))
    if pasting:
        mixed, share = _paste(inputs, order, share)
    else:
        mixed = {name: share * x + (1 - share) * x[order] for name, x in inputs.items()}
    if targets.is_floating_point():
        return mixed, share * targets + (1 - share) * targets[order]
    return mixed, Mixed(targets, targets[order], share)


def _paste(inputs: Inputs, order: Tensor, share: Tensor) -> tuple[Inputs, Tensor]:
    """One box, at the same relative place in every image input, from the permuted batch; the share that was left."""
    side = float((1 - share).sqrt())
    middle = torch.rand(2)
    made, left = {}, share
    for name, x in inputs.items():
        height, width = x.shape[2:]
        top, bottom = _span(float(middle[0]), side, height)
        start, end = _span(float(middle[1]), side, width)
        made[name] = x.clone()
        made[name][:, :, top:bottom, start:end] = x[order, :, top:bottom, start:end]
        # what the border cut off counts for the image below
        left = torch.tensor(1 - (bottom - top) * (end - start) / (height * width))
    return made, left


def _span(middle: float, side: float, size: int) -> tuple[int, int]:
    center, half = int(middle * size), int(side * size) // 2
    return max(0, center - half), min(size, center + half)


def _check(inputs: Inputs, targets: Tensor, cutmix: float) -> None:
    for name, x in inputs.items():
        if not x.is_floating_point():
            raise DataError(f"input {name!r} holds {x.dtype} and cannot be blended; leave 'mixup' and 'cutmix' out.")
        if cutmix and x.ndim != 4:
            raise DataError(
                f"'cutmix' pastes boxes of images (N, C, H, W); input {name!r} has {x.ndim} dimensions: use 'mixup' instead."
            )
    if targets.ndim != 1 and not targets.is_floating_point():
        raise DataError(
            f"'mixup' and 'cutmix' blend one class per example; the targets have shape {tuple(targets.shape)}: leave them out."
        )
