"""Say the next character: one loss for every position of (N, T, characters)."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Model(nn.Module):
    """Two convolutions that see the past alone."""

    def __init__(self):
        super().__init__()
        self.letters = nn.Embedding(12, 16)
        self.first, self.second = nn.Conv1d(16, 32, 3), nn.Conv1d(32, 32, 3)
        self.next = nn.Linear(32, 12)

    def forward(self, tokens):
        """Characters (N, T) -> scores of the next one (N, T, 12)."""
        seen = self.letters(tokens).transpose(1, 2)
        for layer in (self.first, self.second):
            seen = torch.relu(layer(F.pad(seen, (2, 0))))
        return self.next(seen.transpose(1, 2))


def continued(inputs, outputs, step):
    """The text with the likeliest next character, without its first: how text is sampled."""
    said = outputs["output"][:, -1].argmax(-1)
    return {"tokens": np.concatenate([inputs["tokens"][:, 1:], said[:, None]], 1)}


def split(count, seed):
    """Each character is the sum of the two before it, now and then another."""
    draw = np.random.default_rng(seed)
    text = draw.integers(0, 12, (count, 17))
    for at in range(2, 17):
        follows = (text[:, at - 1] + text[:, at - 2]) % 12
        text[:, at] = np.where(draw.random(count) < 0.95, follows, text[:, at])
    return {"tokens": text[:, :-1]}, text[:, 1:]


def data():
    """Training and test split."""
    return split(1024, 0), split(128, 1)
