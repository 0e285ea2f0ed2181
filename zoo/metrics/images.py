"""How close images are to those wanted: PSNR, and SSIM (Wang et al. 2004).

Both are held against the range of the values: the largest target less the smallest, over all targets that are scored. So
images may be in 0..1, in 0..255 or normalized, and the two must not be compared between splits of other ranges.
"""

from math import isfinite, log10

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError
from artifacts.types import Array, Arrays
from zoo.metrics.base import Metric, first
from zoo.pairing import shown, values_of

MOST_DB = 20 * log10(2**24)
"""The PSNR of an image without error, 144.5 dB: below it lies what float32 cannot hold beside the range."""
SMALLEST = 6
"""Height and width that SSIM's window of 11 pixels needs, since borders are mirrored."""
FAR = 4
"""How many ranges from 0 values may lie."""
BATCH = 16
"""Images whose SSIM is computed at once."""


def decibels(outputs: Arrays, targets: Array) -> NDArray[np.float64]:
    """The PSNR of each example, (N,), in dB: its mean squared error against the range, at most `MOST_DB`.

    Raises:
        DataError: all targets are the same value.
    """
    found, wanted = values_of(first(outputs), targets)
    whole = range_of(wanted)
    errors = np.empty(len(wanted))
    for at in range(len(wanted)):
        errors[at] = np.mean((found[at].astype(np.float64) - wanted[at].astype(np.float64)) ** 2)
    with np.errstate(divide="ignore"):
        return np.asarray(np.minimum(10 * np.log10(whole**2 / errors), MOST_DB))


def similarities(outputs: Arrays, targets: Array) -> NDArray[np.float64]:
    """The SSIM of each example, (N,): images (N, C, H, W), or (N, H, W) of one channel.

    A Gaussian window of 11 pixels (1.5 of them its deviation), K1 = 0.01 and K2 = 0.03, as in the paper.

    Raises:
        DataError: they are no images, too small, or all targets are the same value.
    """
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    found, wanted = values_of(first(outputs), targets)
    if wanted.ndim not in (3, 4) or min(wanted.shape[-2:]) < SMALLEST:
        raise DataError(
            f"metric 'ssim' needs images (N, C, H, W) or (N, H, W) of {SMALLEST} by {SMALLEST} pixels or more, and the "
            f"targets are {shown(wanted.shape)}."
        )
    whole, made = range_of(wanted), []
    # variances are differences of squares, which float32, twenty times as fast, holds where the values are no larger than these
    kind = np.float32 if max(-float(wanted.min()), float(wanted.max())) <= FAR * whole else np.float64
    for start in range(0, len(wanted), BATCH):
        pair = (torch.as_tensor(np.asarray(part[start : start + BATCH], kind)) for part in (found, wanted))
        images, truth = (part if part.ndim == 4 else part[:, None] for part in pair)
        found_here = structural_similarity_index_measure(images, truth, data_range=whole, reduction="none")
        made.append(np.asarray(found_here, np.float64).reshape(-1))
    return np.concatenate(made)


def range_of(targets: Array) -> float:
    """The largest value less the smallest, over all targets.

    Raises:
        DataError: they are all the same, or hold NaN or an infinite value.
    """
    low, high = float(targets.min()), float(targets.max())
    if not isfinite(high - low):
        raise DataError("the targets hold NaN or infinite values, so they have no range against which images are scored.")
    if not high > low:
        raise DataError(f"all targets are {low:g}, so their range, against which images are scored, is 0.")
    return high - low


def psnr(outputs: Arrays, targets: Array) -> float:
    """The mean PSNR of the examples, in dB, with the range of all targets as the peak; see `decibels`."""
    return float(decibels(outputs, targets).mean())


def ssim(outputs: Arrays, targets: Array) -> float:
    """The mean SSIM of the examples, up to 1, with the range of all targets; see `similarities`."""
    return float(similarities(outputs, targets).mean())


PSNR = Metric("psnr", psnr, "larger", "dB", alike=True, per_example=decibels)
SSIM = Metric("ssim", ssim, alike=True, per_example=similarities)
