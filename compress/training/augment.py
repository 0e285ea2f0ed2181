"""Random flips and crops of image batches, drawn from torch's global generator; the caller's tensors are left as they are."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def augment(inputs: dict[str, Tensor], kinds: Sequence[str]) -> dict[str, Tensor]:
    """The batch with every image input (N, C, H, W) transformed."""
    if not kinds:
        return inputs
    return {name: _image(x, kinds) if x.ndim == 4 else x for name, x in inputs.items()}


def _image(x: Tensor, kinds: Sequence[str]) -> Tensor:
    if "flip" in kinds:
        flipped = torch.rand(len(x)) < 0.5
        x = torch.where(flipped[:, None, None, None], x.flip(3), x)
    if "crop" in kinds:
        x = _crop(x, max(1, x.shape[-1] // 8))
    return x


def _crop(x: Tensor, pad: int) -> Tensor:
    """Shift each image by up to `pad` pixels, what comes in being zero."""
    count, _, height, width = x.shape
    padded = F.pad(x, (pad, pad, pad, pad))
    top, left = torch.randint(0, 2 * pad + 1, (2, count))
    rows = top[:, None] + torch.arange(height)
    columns = left[:, None] + torch.arange(width)
    index = torch.arange(count)[:, None, None]
    return padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
