"""Find one object and say what it is: two outputs, each with targets, a loss and a weight of its own."""

import numpy as np
import torch
from torch import nn


class Detector(nn.Module):
    """A trunk with two heads."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 32)
        )
        self.kind, self.place = nn.Linear(32, 2), nn.Linear(32, 4)

    def forward(self, image):
        """Images (N, 1, 16, 16) -> scores (N, 2) and boxes (N, 4), left, top, right, bottom in 0..1."""
        seen = torch.relu(self.trunk(image))
        return {"scores": self.kind(seen), "boxes": self.place(seen).sigmoid()}


def split(count, seed):
    """A filled or a hollow square on each image."""
    draw = np.random.default_rng(seed)
    image, kind = draw.normal(0, 0.1, (count, 1, 16, 16)), draw.integers(0, 2, count)
    corners, sizes = draw.integers(0, 8, (count, 2)), draw.integers(5, 9, count)
    for one, ((left, top), size) in enumerate(zip(corners, sizes, strict=True)):
        image[one, 0, top : top + size, left : left + size] += 1
        if kind[one]:
            image[one, 0, top + 1 : top + size - 1, left + 1 : left + size - 1] -= 1
    boxes = np.concatenate([corners, corners + sizes[:, None]], 1) / 16
    return image.astype(np.float32), {"scores": kind, "boxes": boxes.astype(np.float32)}


def data():
    """Training and test split."""
    return split(1024, 0), split(128, 1)
