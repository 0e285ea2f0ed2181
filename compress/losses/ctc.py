"""Connectionist temporal classification: sequences that are shorter than the outputs (Graves et al. 2006)."""

from typing import TYPE_CHECKING

from artifacts.errors import DataError
from compress.losses.base import LossTerm
from zoo.pairing import IGNORED, shown

if TYPE_CHECKING:
    from torch import Tensor

BLANK = 0
"""The class that says nothing."""


def ctc(outputs: "Tensor", targets: "Tensor", label_smoothing: float) -> "Tensor":
    """Of logits (N, T, C) with symbols (N, S), 1 to C - 1, padded with -100; each example's loss over its number of symbols.

    Examples that are too long for their outputs give no gradient.

    Raises:
        DataError: the shapes do not fit, or there are blanks among the symbols.
    """
    import torch.nn.functional as F

    if outputs.ndim != 3 or targets.ndim != 2:
        raise DataError(
            f"loss 'ctc' needs outputs (N, T, classes) and symbols (N, S); these are {shown(outputs.shape)} and "
            f"{shown(targets.shape)}."
        )
    counted = targets != IGNORED
    if bool((targets[counted] == BLANK).any()):
        raise DataError("the targets hold symbol 0, which loss 'ctc' keeps for the blank; count symbols from 1.")
    lengths = counted.sum(1)
    logs = outputs.log_softmax(2).transpose(0, 1)
    steps = lengths.new_full((len(outputs),), outputs.shape[1])
    return F.ctc_loss(logs, targets.clamp_min(0), steps, lengths, blank=BLANK, zero_infinity=True)


CTC = LossTerm("ctc", ctc, targets="classes", positions=False)
