"""Outputs beside the first, without targets: a network that is compressed keeps what its teacher gives there."""

from collections.abc import Mapping

import torch
from torch import Tensor

LEAST = 1e-8
"""Variance below which an output is taken for a constant."""


def further(student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
    """The mean over further outputs of their mean squared difference from the teacher's, in units of its variance.

    Outputs belong together by name; those of another shape or of whole numbers are left out. Zero where there is none.
    """
    terms = [
        (value - teacher[name]).square().mean() / teacher[name].var(correction=0).clamp_min(LEAST)
        for name, value in list(student.items())[1:]
        if name in teacher and value.is_floating_point() and value.shape == teacher[name].shape
    ]
    return torch.stack(terms).mean() if terms else torch.zeros((), device=next(iter(student.values())).device)
