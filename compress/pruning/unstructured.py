"""Unstructured pruning: the smallest weights become zero and stay zero. It makes files compress better, not models faster."""

import copy
from dataclasses import replace

import torch

from artifacts.types import TorchModel
from compress.counting import prunable
from compress.loop import apply_masks


def mask_to(model: TorchModel, sparsity: float, criterion: str, seed: int) -> TorchModel:
    """A copy whose convolution and linear weights are zero to the share `sparsity`, ranked over the whole network.

    Weights that are masked already stay masked. The count is exact: floor(sparsity · weights) zeros.
    """
    module = copy.deepcopy(model.module)
    weights = prunable(module)
    generator = torch.Generator().manual_seed(seed)
    scores = {}
    for name, weight in weights.items():
        score = weight.detach().abs() if criterion == "magnitude" else torch.rand(weight.shape, generator=generator)
        kept = model.masks.get(name)
        scores[name] = score if kept is None else torch.where(kept, score, -torch.ones_like(score))
    flat = torch.cat([s.flatten() for s in scores.values()])
    drop = torch.zeros(len(flat), dtype=torch.bool)
    drop[torch.argsort(flat, stable=True)[: int(sparsity * len(flat))]] = True
    parts = torch.split(drop, [s.numel() for s in scores.values()])
    masks = {name: ~part.view_as(scores[name]) for name, part in zip(scores, parts, strict=True)}
    apply_masks(module, masks)
    return replace(model, module=module, masks=masks)
