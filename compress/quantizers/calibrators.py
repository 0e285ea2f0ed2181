"""From what an activation was seen to be to the range that is represented: four ways, one pass over the data each."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from artifacts.types import Range, Split
from compress.configs import QuantizeConfig
from compress.quantizers.histograms import Histogram
from compress.quantizers.pt2e.streaming import Observer, histograms, minmax

Choice = Callable[[Histogram], Range]
GOLDEN = (5**0.5 - 1) / 2
STRIDE = 16
"""Bins between two thresholds that `entropy` compares."""
SHARES = np.linspace(0.1, 1.0, 91)
"""Of the seen range: what `mse` compares."""
FACTORS = np.linspace(0.5, 2.0, 61)
"""Of an end of the range: what `mse` then compares, from coarse to near."""


def calibrate(
    observer: Observer, split: Split, indices: NDArray[np.int64], config: QuantizeConfig, *, symmetric: bool
) -> dict[str, Range]:
    """The range of every float tensor of a file over some examples, as the config's calibrator chooses it.

    Memory does not grow with the number of examples: only histograms are kept.

    Raises:
        ModelError: a tensor took a value that is infinite or not a number.
    """
    if config.calibrator == "minmax":
        return minmax(observer, split, indices)
    choices: Mapping[str, Choice] = {
        "percentile": partial(percentile_range, share=config.percentile / 100),
        "entropy": partial(entropy_range, symmetric=symmetric),
        "mse": partial(mse_range, symmetric=symmetric),
    }
    choose = choices[config.calibrator]
    return {name: choose(seen) for name, seen in histograms(observer, split, indices).items()}


def percentile_range(seen: Histogram, share: float) -> Range:
    """The range that leaves out 1 - `share` of the values at either end."""
    below = np.cumsum(seen.counts) / max(1, seen.counts.sum())
    first, last = int(np.searchsorted(below, 1 - share, side="right")), int(np.searchsorted(below, share - 1e-12))
    edges = seen.edges
    return _within(seen, float(edges[min(first, len(edges) - 2)]), float(edges[min(last + 1, len(edges) - 1)]))


def entropy_range(seen: Histogram, symmetric: bool) -> Range:
    """The clipping threshold whose rounded distribution of magnitudes diverges least from what was seen.

    Migacz, "8-bit Inference with TensorRT" (GTC 2017): the threshold of least KL divergence between the clipped histogram and
    its quantized form. An unsigned range spends all 256 levels on one sign, a signed one 128 on each.
    """
    levels = 128 if symmetric or seen.low < 0 else 256
    counts = seen.magnitudes.astype(np.float64)
    if len(counts) <= levels:
        return _within(seen, -np.inf, np.inf)
    counts[0] = counts[1]  # what a ReLU left at exactly zero is represented whatever the threshold
    outside = counts.sum() - np.cumsum(counts)
    best, threshold = np.inf, len(counts)
    for size in (*range(levels, len(counts), STRIDE), len(counts)):
        divergence = _divergence(counts[:size], outside[size - 1], levels)
        if divergence < best:
            best, threshold = divergence, size
    return _within(seen, -threshold * seen.width, threshold * seen.width)


def _divergence(counts: NDArray[np.float64], outside: float, levels: int) -> float:
    """KL divergence of clipped counts (their last bin takes what lies outside) from the same in `levels` equal steps."""
    wanted = counts.copy()
    wanted[-1] += outside
    present = counts > 0
    step = np.arange(len(counts)) * levels // len(counts)
    sums = np.bincount(step, counts, levels)
    shared = np.bincount(step, present, levels)
    made = np.where(present, (sums / np.maximum(shared, 1))[step], 0.0)
    if not made.sum() or (wanted[~present] > 0).any():
        return float("inf")
    p, q = wanted[present] / wanted.sum(), made[present] / made.sum()
    return float((p * np.log(p / q)).sum())


def mse_range(seen: Histogram, symmetric: bool) -> Range:
    """The range that minimizes the squared error of rounding to 8 bits, clipping included, over what was seen."""
    used = np.flatnonzero(seen.counts)
    weights = seen.counts[used].astype(np.float64)
    # not the middle of each bin: where a step is a whole number of bins, all middles would round alike
    centers = seen.edges[used] + seen.width * (np.arange(len(used)) * GOLDEN % 1)
    centers[used == -seen.first] = 0.0  # the bin at zero holds mostly exact zeros
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    if high - low < 1e-20:
        return seen.low, seen.high
    if symmetric:
        low, high = -max(-low, high), max(-low, high)
    low, high = _best(np.stack([low * SHARES, high * SHARES], 1), centers, weights)
    if not symmetric and low < 0 < high:
        # from what the common share gave, each end on its own and both together
        for _ in range(2):
            for ends in ([1.0, FACTORS], [FACTORS, 1.0], [FACTORS, FACTORS]):
                lows, highs = np.broadcast_arrays(low * np.asarray(ends[0]), high * np.asarray(ends[1]))
                tried = np.stack([lows.clip(seen.low), highs.clip(None, seen.high)], 1)
                low, high = _best(tried, centers, weights)
    return _within(seen, low, high)


def _best(ends: NDArray[np.float64], centers: NDArray[np.float64], weights: NDArray[np.float64]) -> Range:
    scales = np.maximum((ends[:, 1:] - ends[:, :1]) / 255, 1e-30)
    zero = np.round(-ends[:, :1] / scales)
    rounded = (np.clip(np.round(centers / scales) + zero, 0, 255) - zero) * scales
    errors = ((rounded - centers) ** 2) @ weights
    low, high = ends[int(errors.argmin())]
    return float(low), float(high)


def _within(seen: Histogram, low: float, high: float) -> Range:
    """The range, no wider than what was seen."""
    return max(low, seen.low), min(high, seen.high)
