"""Tag every word of a sentence: (N, T, tags), of sentences that are padded to one length with words 0."""

import numpy as np
import torch
from torch import nn


class Tagger(nn.Module):
    """Looks at each word and its neighbours."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(20, 16)
        self.context = nn.Conv1d(16, 32, 3, padding=1)
        self.tags = nn.Linear(32, 3)

    def forward(self, tokens):
        """Words (N, T) -> scores (N, T, 3)."""
        seen = torch.relu(self.context(self.words(tokens).transpose(1, 2)))
        return self.tags(seen.transpose(1, 2))


def split(count, seed):
    """A word's tag is its remainder by three, or by the word before it where that is 7."""
    draw = np.random.default_rng(seed)
    tokens = draw.integers(1, 20, (count, 12))
    tags = tokens % 3
    tags[:, 1:][tokens[:, :-1] == 7] = 2
    padding = np.arange(12) >= draw.integers(4, 13, count)[:, None]
    tokens[padding], tags[padding] = 0, -100
    return {"tokens": tokens}, tags


def data():
    """Training and test split."""
    return split(512, 0), split(128, 1)
