"""What a recipe may say of weights with few distinct values."""

from typing import Literal

from pydantic import Field, model_validator

from compress.training.config import FinetuneConfig


class PalettizeConfig(FinetuneConfig):
    """Give the weights of each layer few distinct values, trained with straight-through gradients."""

    kind: Literal["kmeans", "ternary", "binary"] = "kmeans"
    """`kmeans`: shared values found by clustering (Han et al. 2016, arXiv:1510.00149); `ternary`: -a, 0, a per output
    channel (Li et al. 2016, arXiv:1605.04711); `binary`: -a, a per output channel (Rastegari et al. 2016, arXiv:1603.05279)."""
    bits: int | None = Field(None, ge=1, le=8, examples=[4])
    """With `kmeans`: a palette has 2 to the power of `bits` values; 4 bits by default."""
    group_channels: int | None = Field(None, ge=1, examples=[8])
    """With `kmeans`: so many output channels share one palette; by default a layer has one palette."""
    keep_float: tuple[str, ...] | None = Field(None, examples=[["conv1", "fc"]])
    """Layers (dotted module names) that stay as they are; by default none with `kmeans`, else the first and the last."""
    finetune_epochs: int = Field(3, ge=0)
    """Epochs of training with the shared values in place."""

    @model_validator(mode="after")
    def _fits_kind(self) -> "PalettizeConfig":
        if self.kind != "kmeans":
            for name in ("bits", "group_channels"):
                if getattr(self, name) is not None:
                    raise ValueError(f"'{name}' is for kind 'kmeans'; {self.kind} weights have a scale per output channel")
        return self

    @property
    def width(self) -> int:
        """Bits that hold one of the distinct values."""
        return {"kmeans": self.bits or 4, "ternary": 2, "binary": 1}[self.kind]
