"""Unstructured pruning: the weights that matter least become zero and stay zero.

It makes files compress better, not models faster, unless what runs them knows the pattern (N:M on sparse tensor cores).
"""

import copy
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from artifacts.errors import ModelError
from artifacts.types import Split, TorchModel
from compress.counting import prunable
from compress.criteria.scoring import score_weights
from compress.training.loop import apply_masks

NO_EXAMPLES: NDArray[np.int64] = np.zeros(0, np.int64)


def mask_to(
    model: TorchModel,
    sparsity: float,
    criterion: str,
    seed: int,
    *,
    local: bool = False,
    split: Split | None = None,
    indices: NDArray[np.int64] = NO_EXAMPLES,
) -> TorchModel:
    """A copy whose convolution and linear weights are zero to the share `sparsity` of the network; `local`: of each layer.

    Weights that are masked already stay masked. The count is exact: floor(sparsity · weights) zeros, over the network or
    in each layer. Criteria that need gradients take them from the examples `indices` of `split`, in eval mode.
    """
    scores = weight_scores(model, criterion, seed, split, indices)
    if local:
        masks = {name: _kept(score.flatten(), sparsity).view_as(score) for name, score in scores.items()}
    else:
        kept = _kept(torch.cat([s.flatten() for s in scores.values()]), sparsity)
        parts = torch.split(kept, [s.numel() for s in scores.values()])
        masks = {name: part.view_as(scores[name]) for name, part in zip(scores, parts, strict=True)}
    return masked(model, masks)


def weight_scores(
    model: TorchModel, criterion: str, seed: int, split: Split | None = None, indices: NDArray[np.int64] = NO_EXAMPLES
) -> dict[str, Tensor]:
    """Scores of every convolution and linear weight, by parameter name; -1 where it is masked, so that it goes first."""
    module = copy.deepcopy(model.module)
    scores = score_weights(criterion, module, prunable(module), split, indices, seed)
    for name, mask in model.masks.items():
        if name in scores:
            scores[name] = torch.where(mask, scores[name], -torch.ones_like(scores[name]))
    return scores


def masked(model: TorchModel, masks: Mapping[str, Tensor]) -> TorchModel:
    """A copy with these masks, and those of other weights kept, applied and recorded."""
    module = copy.deepcopy(model.module)
    kept = {**model.masks, **masks}
    apply_masks(module, kept)
    return replace(model, module=module, masks=kept)


def rewound(start: TorchModel, pruned: TorchModel) -> TorchModel:
    """A lottery ticket: a copy of `start`, batch-norm statistics and all, with the masks of `pruned` applied.

    Frankle and Carbin 2019, arXiv:1803.03635. `start` is the network as it came into the stage: an untrained one gives the
    paper's ticket, a trained one rewinds to its trained weights. Both have the same structure.
    """
    return masked(replace(start, masks={}), pruned.masks)


def _kept(scores: Tensor, sparsity: float) -> Tensor:
    """(weights,) booleans: False for the floor(sparsity · weights) smallest."""
    kept = torch.ones(len(scores), dtype=torch.bool)
    kept[torch.argsort(scores, stable=True)[: int(sparsity * len(scores))]] = False
    return kept


def masks_for(masks: Mapping[str, Tensor], original: nn.Module, graph: nn.Module) -> dict[str, Tensor]:
    """The masks by the names that `graph`, traced from `original`, has for the same weights.

    Tracing may keep another name of a weight that layers share; a layer that the network never runs is not in the graph,
    and its mask is dropped.

    Raises:
        ModelError: a mask has no weight of its shape in the graph, so that it would be lost.
    """
    names: dict[int, list[str]] = {}
    for name, parameter in original.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    inside, made = dict(graph.named_parameters(remove_duplicate=False)), {}
    for name, mask in masks.items():
        aliases = names.get(id(original.get_parameter(name)), [name])
        found = next((alias for alias in [name, *aliases] if alias in inside), None)
        if found is None:
            continue
        if inside[found].shape != mask.shape:
            raise ModelError(
                f"the mask of {name!r} {tuple(mask.shape)} does not fit the traced weight {found!r} "
                f"{tuple(inside[found].shape)}: put the prune that zeroes weights after what changes the layer."
            )
        made[found] = mask
    return made
