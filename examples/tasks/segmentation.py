"""Find the bright square: a class for each pixel (N, H, W), -100 along the border, which does not count."""

import numpy as np
from torch import nn


def net():
    """Images (N, 1, 16, 16) -> scores (N, 2, 16, 16)."""
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1))


def split(count, seed):
    """Noisy images, and the classes of their pixels."""
    draw = np.random.default_rng(seed)
    image, classes = draw.normal(0, 0.3, (count, 1, 16, 16)), np.zeros((count, 16, 16), np.int64)
    for one, (top, left) in enumerate(draw.integers(1, 9, (count, 2))):
        image[one, 0, top : top + 6, left : left + 6] += 1
        classes[one, top : top + 6, left : left + 6] = 1
    classes[:, [0, -1]] = classes[:, :, [0, -1]] = -100
    return image.astype(np.float32), classes


def data():
    """Training and test split."""
    return split(512, 0), split(128, 1)
