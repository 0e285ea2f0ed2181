"""A number for each row: (N, 1) against (N,), which are not broadcast."""

import numpy as np
from torch import nn


def net():
    """Rows (N, 4) -> (N, 1)."""
    return nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))


def split(count, seed):
    """A smooth function of four numbers."""
    x = np.random.default_rng(seed).uniform(-1, 1, (count, 4)).astype(np.float32)
    return x, np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] - 0.5 * x[:, 3]


def data():
    """Training and test split."""
    return split(1024, 0), split(256, 1)
