"""Outputs without targets: a network that is compressed keeps what its teacher gives there."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

LEAST = 1e-8
"""Variance below which an output is taken for a constant."""


def further(student: Mapping[str, Tensor], teacher: Mapping[str, Tensor], trained: Collection[str]) -> Tensor:
    """The mean over outputs that are not trained for of their mean squared difference from the teacher's, by its variance.

    Outputs belong together by name; those of another shape or of whole numbers are left out. Zero where there is none.
    """
    terms = [
        (value - teacher[name]).square().mean() / teacher[name].var(correction=0).clamp_min(LEAST)
        for name, value in student.items()
        if name not in trained and name in teacher and value.is_floating_point() and value.shape == teacher[name].shape
    ]
    return torch.stack(terms).mean() if terms else torch.zeros((), device=next(iter(student.values())).device)
