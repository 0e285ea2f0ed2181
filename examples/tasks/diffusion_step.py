"""Say which noise was added at a time (arXiv:2006.11239): a picture and the number of a step go in."""

import numpy as np
import torch
from torch import nn

STEPS = 16
KEPT = np.cumprod(1 - np.linspace(1e-3, 0.3, STEPS))
"""The share of the picture's variance that is left at each step."""


class Denoiser(nn.Module):
    """Convolutions that are told the time."""

    def __init__(self):
        super().__init__()
        self.times = nn.Embedding(STEPS, 16)
        self.enter, self.middle, self.leave = nn.Conv2d(1, 16, 3, 1, 1), nn.Conv2d(16, 16, 3, 1, 1), nn.Conv2d(16, 1, 3, 1, 1)

    def forward(self, noisy, step):
        """Pictures (N, 1, 8, 8) and steps (N,) -> the noise in them (N, 1, 8, 8)."""
        seen = torch.relu(self.enter(noisy) + self.times(step)[:, :, None, None])
        return self.leave(torch.relu(self.middle(seen)))


def denoised(inputs, outputs, step):
    """The picture one step earlier, without new noise (arXiv:2010.02502)."""
    before = np.maximum(inputs["step"] - 1, 0)
    now, then = (KEPT[at][:, None, None, None] for at in (inputs["step"], before))
    clean = (inputs["noisy"] - np.sqrt(1 - now) * outputs["output"]) / np.sqrt(now)
    return {"noisy": np.sqrt(then) * clean + np.sqrt(1 - then) * outputs["output"], "step": before}


def split(count, seed):
    """Stripes with noise at a drawn step."""
    draw = np.random.default_rng(seed)
    picture = np.sign(np.sin(np.arange(8) + draw.uniform(0, 6, (count, 1, 1, 1)))) * np.ones((1, 1, 8, 1))
    step, noise = draw.integers(0, STEPS, count), draw.normal(0, 1, picture.shape)
    kept = KEPT[step][:, None, None, None]
    noisy = np.sqrt(kept) * picture + np.sqrt(1 - kept) * noise
    return {"noisy": noisy.astype(np.float32), "step": step}, noise.astype(np.float32)


def data():
    """Training and test split."""
    return split(1024, 0), split(256, 1)
