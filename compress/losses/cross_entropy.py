"""Cross-entropy with class numbers."""

from typing import TYPE_CHECKING

from compress.losses.base import LossTerm

if TYPE_CHECKING:
    from torch import Tensor


def cross_entropy(outputs: "Tensor", targets: "Tensor", label_smoothing: float) -> "Tensor":
    """Of logits (N, classes, ...), averaged over the batch and positions."""
    import torch.nn.functional as F

    return F.cross_entropy(outputs, targets.long(), label_smoothing=label_smoothing)


CROSS_ENTROPY = LossTerm("cross-entropy", cross_entropy, targets="classes")
