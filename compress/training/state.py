"""The state of a run in flight, on disk."""

import io
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor

from artifacts.files import write_atomic

Held = dict[str, object]
"""What an optimizer and its like keep, in their own form."""


class Average(TypedDict, total=False):
    """The moving average; empty where there is none."""

    state: dict[str, Tensor]
    updates: int


class ScoreFields(TypedDict):
    """The fields of a `Score`."""

    metric: float
    loss: float
    name: str


class Best(TypedDict, total=False):
    """The epoch that scored best; empty where none was scored yet."""

    score: ScoreFields
    state: dict[str, Tensor]


class RunState(TypedDict):
    """All that a run needs to go on as if it had not been interrupted."""

    step: int
    module: dict[str, Tensor]
    extra: Held
    optimizer: Held
    scaler: Held
    average: Average
    best: Best
    stale: int
    """Epochs since the best."""


def save_state(path: Path, state: RunState) -> None:
    """Write the tensors and plain values in one atomic step; the folder is made if there is none."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, buffer.getvalue())


def load_state(path: Path | None) -> RunState | None:
    """What `save_state` wrote, on the CPU; None if there is no file."""
    if path is None or not path.is_file():
        return None
    state: RunState = torch.load(path, map_location="cpu", weights_only=True)
    return state
