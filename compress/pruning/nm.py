"""N:M sparsity: of every M consecutive weights along the input channels at most N are kept.

From Mishra et al. 2021 (arXiv:2104.08378). Sparse tensor cores (and cuSPARSELt) want 2:4 along the reduction dimension of the
matrix product. A linear weight (out, in) has it in its second dimension; a convolution (out, in, k, k) is multiplied with its
input channels lying closest together (channels last), so the M consecutive are input channels at one place of the kernel,
not neighbors in the kernel's window.
"""

import torch
from torch import Tensor, nn

from artifacts.types import TorchModel
from compress.counting import prunable
from compress.pruning.unstructured import masked

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def parse(pattern: str) -> tuple[int, int]:
    """N and M of a pattern such as `2:4`."""
    n, m = pattern.split(":")
    return int(n), int(m)


def nm_mask(scores: Tensor, n: int, m: int) -> Tensor:
    """Booleans of the shape of `scores` (out, in, ...): the `n` largest of every `m` along the input channels.

    >>> nm_mask(torch.tensor([[3.0, 1.0, 2.0, 0.0]]), 2, 4).tolist()
    [[True, False, True, False]]
    """
    last = scores.movedim(1, -1)  # (out, ..., in)
    blocks = last.reshape(-1, m)
    order = blocks.argsort(dim=1, descending=True, stable=True)
    kept = torch.zeros_like(blocks, dtype=torch.bool).scatter_(1, order[:, :n], True)
    return kept.view(last.shape).movedim(-1, 1).contiguous()


def mask_n_of_m(model: TorchModel, scores: dict[str, Tensor], n: int, m: int) -> TorchModel:
    """A copy with `n` of every `m` weights kept by score in every layer whose input channels divide by `m`.

    Weights with a negative score (masked already) are never kept.
    """
    left = left_whole(model.module, m)
    return masked(model, {name: nm_mask(s, n, m) & (s >= 0) for name, s in scores.items() if name not in left})


def left_whole(module: nn.Module, m: int) -> dict[str, str]:
    """Weights that the pattern does not fit, by parameter name, with the reason."""
    owners = {f"{n}.weight" if n else "weight": layer for n, layer in module.named_modules()}
    reasons = {}
    for name, weight in prunable(module).items():
        if not isinstance(owners.get(name), LAYERS):
            reasons[name] = "a transposed convolution has its input channels in another dimension"
        elif weight.shape[1] % m:
            reasons[name] = f"its {weight.shape[1]} input channels (of each group) are not a multiple of {m}"
    return reasons
