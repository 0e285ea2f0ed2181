"""What a quantizer is given, and what it says of itself, so that nothing else asks for one by name. Imports nothing heavy."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from artifacts.types import Split, TorchModel
from compress.configs import QuantizeConfig

API = 1
"""The version of this interface; a record of another one is refused."""


@dataclass(frozen=True)
class Calibration:
    """What a quantizer may look at: a fixed, seeded subset of the training data, and how to use it."""

    split: Split
    config: QuantizeConfig
    seed: int
    model: TorchModel
    """The float model that is quantized; its `ranges`, if it has any, were learned in training."""


@dataclass(frozen=True)
class Quantizer:
    """One row of the list; nothing heavy is imported until `load()` is called."""

    name: str
    works_on: Literal["module", "file"]
    """`module`: (Calibration) -> nn.Module, before export; `file`: (ExportedFile, folder, Calibration) -> ExportedFile."""
    entry_point: str
    libraries: tuple[str, ...]
    """The distributions whose versions decide what it makes."""
    by_vnni: bool = False
    """Whether the file is another one where it is made on a CPU without VNNI."""
    halved_limit: float | None = None
    """How many steps the largest 8-bit weight has in a file made without VNNI, where 8-bit products saturate and the grid is
    halved for that; none: as many as with it."""
    own_grid: bool = False
    """Whether weights lie on a grid of the runtime's own, so that the file is held against the float network."""
    api: int = API

    def load(self) -> Callable[..., Any]:
        """The function that quantizes."""
        module, _, name = self.entry_point.partition(":")
        made: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return made
