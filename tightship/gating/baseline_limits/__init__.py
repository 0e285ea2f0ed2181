"""Limits against an earlier run's figures, each one record, and the one list of them."""

from artifacts.plugins import Registry
from tightship.gating.baseline_limits.base import API, BaselineLimit

__all__ = ["BASELINE_LIMITS", "BaselineLimit"]

BASELINE_LIMITS: Registry[BaselineLimit] = Registry(
    "limit against a baseline",
    "tightship.baseline_limits",
    BaselineLimit,
    [
        "tightship.gating.baseline_limits.accuracy:ACCURACY_DROP",
        "tightship.gating.baseline_limits.latency:LATENCY_RATIO",
        "tightship.gating.baseline_limits.latency:P90_RATIO",
        "tightship.gating.baseline_limits.resources:THROUGHPUT_RATIO",
        "tightship.gating.baseline_limits.resources:SIZE_RATIO",
        "tightship.gating.baseline_limits.resources:PEAK_RSS_RATIO",
        "tightship.gating.baseline_limits.resources:COLD_START_RATIO",
    ],
    API,
)
"""By the name that limits files and the command line use."""
