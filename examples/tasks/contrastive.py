"""Bring the two views of a thing together: two inputs, two outputs, a loss and a metric of one's own."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Pair(nn.Module):
    """A tower for each view."""

    def __init__(self):
        super().__init__()
        self.left = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 8))
        self.right = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 8))

    def forward(self, picture, sound):
        """Views (N, 12) and (N, 6) -> embeddings (N, 8) each."""
        return {"picture_embedding": self.left(picture), "sound_embedding": self.right(sound)}


def matching(outputs, targets):
    """Each picture's own sound is the nearest of the batch (InfoNCE, arXiv:1807.03748)."""
    left, right = (F.normalize(outputs[f"{name}_embedding"], dim=1) for name in ("picture", "sound"))
    return F.cross_entropy(left @ right.T / 0.1, torch.arange(len(left), device=left.device))


def recall(outputs, targets):
    """The share of pictures whose own sound is the nearest of all."""
    left, right = outputs["picture_embedding"], outputs["sound_embedding"]
    near = left @ (right / np.linalg.norm(right, axis=1, keepdims=True)).T
    return float((near.argmax(1) == np.arange(len(left))).mean())


def split(count, seed):
    """Two fixed mixtures of the same three numbers; the targets say nothing."""
    draw, fixed = np.random.default_rng(seed), np.random.default_rng(7)
    hidden = draw.normal(0, 1, (count, 3))
    views = {"picture": hidden @ fixed.normal(0, 1, (3, 12)), "sound": hidden @ fixed.normal(0, 1, (3, 6))}
    return {name: value.astype(np.float32) for name, value in views.items()}, np.zeros(count, np.float32)


def data():
    """Training and test split."""
    return split(1024, 0), split(128, 1)
