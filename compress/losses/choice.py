"""What a recipe may say as a loss: a name, `module:callable` of one's own, or one for each output with its weight."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field

from compress.base_config import Config
from compress.losses import LOSSES

OF_ONES_OWN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
"""How a loss of the user's own is named."""


class OutputLoss(Config):
    """What one output adds to the loss."""

    loss: str | None = Field(None, examples=["huber"])
    """By its name; by default cross-entropy for class numbers and mse for real targets."""
    weight: float = Field(1.0, gt=0)
    """What it is multiplied by."""


def task_loss_name(name: str) -> str:
    """The name, if a loss that compares with targets is called so.

    Raises:
        RequestError: there is no such loss.
        ValueError: it compares with teachers only.
    """
    if LOSSES.find(name).task is None:
        known = ", ".join(loss.name for loss in LOSSES.values() if loss.task)
        raise ValueError(f"loss '{name}' compares with a teacher, not with targets; use {known}")
    return name


def _read(value: object) -> object:
    """A loss as it is written, names checked; `{boxes: huber}` is `{boxes: {loss: huber}}`."""
    if isinstance(value, str):
        return value if OF_ONES_OWN.fullmatch(value) else task_loss_name(value)
    if not isinstance(value, Mapping):
        return value
    if not value:
        raise ValueError("the loss names no output; leave it out, or give one such as {boxes: huber}")
    made = {name: {"loss": one} if isinstance(one, str) else one for name, one in value.items()}
    for one in made.values():
        named = one.get("loss") if isinstance(one, Mapping) else getattr(one, "loss", None)
        if isinstance(named, str):
            task_loss_name(named)
    return made


TaskLoss = Annotated[str | Mapping[str, OutputLoss], BeforeValidator(_read)]
"""A loss by name or `module:callable`, or by output."""
