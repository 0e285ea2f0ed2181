"""What training minimizes, one file a loss, and the one list of them. Imports nothing heavy."""

from artifacts.plugins import Registry
from compress.losses.base import API, LossTerm

__all__ = ["LOSSES", "LossTerm", "usual_task", "usual_teaching"]

LOSSES: Registry[LossTerm] = Registry(
    "loss",
    "tightship.losses",
    LossTerm,
    [
        "compress.losses.cross_entropy:CROSS_ENTROPY",
        "compress.losses.mse:MSE",
        "compress.losses.absolute:L1",
        "compress.losses.absolute:HUBER",
        "compress.losses.bce:BCE",
        "compress.losses.kl:KL",
        "compress.losses.ctc:CTC",
        "compress.losses.cosine:COSINE",
    ],
    API,
)
"""By the name that a recipe uses."""


def usual_task(real: bool) -> str:
    """The task's own loss where a recipe names none: by whether targets are real values."""
    return "mse" if real else "cross-entropy"


def usual_teaching(real: bool) -> str:
    """How outputs are compared with a teacher's where a recipe does not say: by whether targets are real values."""
    return "mse" if real else "kl"
