"""The state of a run in flight, on disk."""

import io
from pathlib import Path
from typing import Any

import torch

from artifacts.files import write_atomic


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a mapping of tensors and plain values in one atomic step; its folder is made if there is none."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, buffer.getvalue())


def load_state(path: Path | None) -> dict[str, Any] | None:
    """What `save_state` wrote, on the CPU; None if there is no file."""
    if path is None or not path.is_file():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
