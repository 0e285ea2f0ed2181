"""Limits on measured values, each one record, and the one list of them."""

from artifacts.plugins import Registry
from tightship.gating.gates.base import API, Gate

__all__ = ["GATES", "Gate"]

GATES: Registry[Gate] = Registry(
    "gate",
    "tightship.gates",
    Gate,
    [
        "tightship.gating.gates.accuracy:ACCURACY_DROP",
        "tightship.gating.gates.accuracy:ACCURACY_MIN",
        "tightship.gating.gates.accuracy:ERROR_MAX",
        "tightship.gating.gates.latency:LATENCY_P50_MS",
        "tightship.gating.gates.latency:LATENCY_P90_MS",
        "tightship.gating.gates.latency:LATENCY_P99_MS",
        "tightship.gating.gates.size:SIZE_MB",
        "tightship.gating.gates.size:SIZE_RATIO",
        "tightship.gating.gates.latency:SPEEDUP",
        "tightship.gating.gates.latency:STOCK_LATENCY",
        "tightship.gating.gates.resources:PEAK_RSS_MB",
        "tightship.gating.gates.resources:COLD_START_MS",
        "tightship.gating.gates.resources:FALLBACK_SHARE",
    ],
    API,
)
"""By the name that recipes and the command line use; a recipe's `gates` takes exactly these."""
