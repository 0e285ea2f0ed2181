"""What makes a weight or a channel matter: one file a criterion, and the one list of them. Imports nothing heavy."""

from artifacts.plugins import Registry
from compress.pruning.criteria.base import API, Criterion

__all__ = ["CRITERIA", "Criterion"]

CRITERIA: Registry[Criterion] = Registry(
    "criterion",
    "tightship.criteria",
    Criterion,
    [
        "compress.pruning.criteria.magnitude:MAGNITUDE",
        "compress.pruning.criteria.magnitude:MAGNITUDE_L1",
        "compress.pruning.criteria.draw:RANDOM",
        "compress.pruning.criteria.bn_scale:BN_SCALE",
        "compress.pruning.criteria.taylor:TAYLOR",
        "compress.pruning.criteria.snip:SNIP",
        "compress.pruning.criteria.hessian:HESSIAN",
        "compress.pruning.criteria.fisher:FISHER",
        "compress.pruning.criteria.lamp:LAMP",
    ],
    API,
)
"""By the name that a recipe uses."""
