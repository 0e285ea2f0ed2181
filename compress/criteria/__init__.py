"""What makes a weight or a channel matter: one file a criterion, and the one list of them. Imports nothing heavy."""

from artifacts.plugins import Registry
from compress.criteria.base import API, Criterion

__all__ = ["CRITERIA", "Criterion"]

CRITERIA: Registry[Criterion] = Registry(
    "criterion",
    "tightship.criteria",
    Criterion,
    [
        "compress.criteria.magnitude:MAGNITUDE",
        "compress.criteria.magnitude:MAGNITUDE_L1",
        "compress.criteria.draw:RANDOM",
        "compress.criteria.bn_scale:BN_SCALE",
        "compress.criteria.taylor:TAYLOR",
        "compress.criteria.snip:SNIP",
        "compress.criteria.hessian:HESSIAN",
        "compress.criteria.fisher:FISHER",
        "compress.criteria.lamp:LAMP",
    ],
    API,
)
"""By the name that a recipe uses."""
