"""What all configs share, and how a network is named in a recipe."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from artifacts.json import JsonValue
from artifacts.types import ModelRef


def known_names(registry: Mapping[str, object]) -> Callable[[JsonDict], None]:
    """What lists a registry's names in the JSON schema of a text that names one of its records."""

    def add(schema: JsonDict) -> None:
        branches = schema.get("anyOf")
        texts = [b for b in branches if isinstance(b, dict)] if isinstance(branches, list) else [schema]
        for branch in texts:
            if branch.get("type") == "string":
                branch["enum"] = list(registry)

    return add


Fraction = Annotated[float, Field(gt=0, le=1)]


class Config(BaseModel):
    """A part of a recipe: unknown keys are refused, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    renamed: ClassVar[Mapping[str, str]] = {}
    """Keys of earlier versions, which are refused: old name -> the name it has now."""


class ModelConfig(BaseModel):
    """A network: a zoo name or a factory, its weights, and whatever options its builder takes."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    zoo: str | None = Field(None, examples=["resnet"])
    """A reference model, as `tightship zoo` lists them; its options (`depth`, `width`, ...) stand beside this key."""
    factory: str | None = Field(None, examples=["nets:build"])
    """`"module:callable"` of yours that returns a torch.nn.Module; other keys beside it are its keyword arguments."""
    weights: Path | None = Field(None, examples=["weights.safetensors"])
    """A .safetensors, .pt, .pth or .th file with a state dict, looked for beside the recipe; `$VARIABLES` are filled in."""

    output_names: tuple[str, ...] = Field((), examples=[["scores", "boxes"]])
    """What its outputs are called, in its order, where it gives a tuple; by default as it calls them."""

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
        return ModelRef(self.zoo, self.factory, self.options, self.output_names)
