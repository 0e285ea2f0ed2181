"""What all configs share, and how a network is named in a recipe."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from artifacts.json import JsonValue
from artifacts.types import ModelRef

Fraction = Annotated[float, Field(gt=0, le=1)]


class Config(BaseModel):
    """A part of a recipe: unknown keys are refused, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    renamed: ClassVar[Mapping[str, str]] = {}
    """Keys of earlier versions, which are refused: old name -> the name it has now."""


class ModelConfig(BaseModel):
    """A network: a zoo name or a factory, its weights, and whatever options its builder takes."""

    model_config = ConfigDict(extra="allow", frozen=True)

    zoo: str | None = None
    factory: str | None = None
    """`"module:callable"` that returns a torch.nn.Module."""
    weights: Path | None = None
    """A .safetensors, .pt or .pth state dict; `$TIGHTSHIP_DATA/...` is expanded."""

    @model_validator(mode="after")
    def _one_source(self) -> "ModelConfig":
        if (self.zoo is None) == (self.factory is None):
            raise ValueError("give exactly one of 'zoo' and 'factory'")
        return self

    @property
    def options(self) -> dict[str, JsonValue]:
        """The builder's keyword arguments."""
        return dict(self.model_extra or {})

    def ref(self) -> ModelRef:
        """How to build the network, without its weights."""
        return ModelRef(self.zoo, self.factory, self.options)
