"""Say a sequence backwards, piece by piece: the state of a recurrent layer goes in and comes out."""

import numpy as np
import torch
from torch import nn


class Step(nn.Module):
    """One step of a recurrent cell, written out, with its state as input and output."""

    def __init__(self):
        super().__init__()
        self.symbols = nn.Embedding(8, 16)
        self.gates, self.candidate = nn.Linear(48, 64), nn.Linear(48, 32)
        self.said = nn.Linear(32, 8)

    def forward(self, tokens, state):
        """Symbols (N, 4) and state (N, 32) -> scores (N, 4, 8) of the symbol before each, and the state after the last."""
        scores = []
        for at in range(4):
            seen = self.symbols(tokens[:, at])
            update, reset = self.gates(torch.cat([seen, state], 1)).sigmoid().chunk(2, 1)
            scores.append(self.said(state))
            state = (1 - update) * state + update * self.candidate(torch.cat([seen, reset * state], 1)).tanh()
        return {"scores": torch.stack(scores, 1), "next_state": state}


def split(count, seed):
    """What was said before each symbol; before the first it is what the state stands for."""
    draw = np.random.default_rng(seed)
    tokens, before = draw.integers(0, 8, (count, 4)), draw.integers(0, 8, count)
    state = np.zeros((count, 32), np.float32)
    state[np.arange(count), before] = 1
    return {"tokens": tokens, "state": state}, {"scores": np.concatenate([before[:, None], tokens[:, :-1]], 1)}


def data():
    """Training and test split."""
    return split(1024, 0), split(128, 1)
