"""Cross-entropy with class numbers."""

from typing import TYPE_CHECKING

from compress.losses.base import LossTerm
from compress.losses.shapes import scores_first
from zoo.pairing import IGNORED

if TYPE_CHECKING:
    from torch import Tensor


def cross_entropy(outputs: "Tensor", targets: "Tensor", label_smoothing: float) -> "Tensor":
    """Of logits (N, C, *P) or (N, *P, C) with class numbers (N, *P), averaged over all that are not ignored.

    Raises:
        DataError: the shapes do not fit.
    """
    import torch.nn.functional as F

    logits, numbers = scores_first(outputs, targets)
    return F.cross_entropy(logits, numbers.long(), ignore_index=IGNORED, label_smoothing=label_smoothing)


CROSS_ENTROPY = LossTerm("cross-entropy", cross_entropy, targets="classes")
