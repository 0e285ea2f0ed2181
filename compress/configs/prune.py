"""What a recipe may say of pruning."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from compress.configs.base import Fraction
from compress.configs.train import FinetuneConfig


class PruneConfig(FinetuneConfig):
    """Remove channels until the measured MACs are at most `macs` of the start, or zero weights up to `sparsity`."""

    criterion: Literal["magnitude", "taylor", "bn-scale", "random"] = "magnitude"
    macs: Fraction | None = None
    """Structured: the share of the incoming model's MACs to keep; channels are physically removed."""
    latency: Fraction | None = None
    """Structured, blocks and channels: the share of the incoming model's latency to keep, as measured on `target`."""
    target: str | None = None
    """With `latency`: the target that it is measured on."""
    latency_precision: Literal["fp32", "int8"] = "int8"
    """With `latency`: as what the network will be deployed there."""
    blocks: int | None = Field(None, ge=1)
    """Depth: how many of the blocks that can be removed are kept, ranked by the loss that their removal causes."""
    sparsity: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Unstructured: the share of convolution and linear weights to zero, ranked globally."""
    steps: int = Field(1, ge=1, le=50)
    schedule: Literal["linear", "exponential", "cubic"] = "cubic"
    """How the target grows over the steps (cubic: Zhu and Gupta 2017, arXiv:1710.01878)."""
    align: int = Field(8, ge=1)
    """Kept widths are multiples of this, because vector kernels like them."""
    finetune_epochs: int = Field(1, ge=0)
    """Epochs of fine-tuning after each step."""

    @model_validator(mode="after")
    def _one_goal(self) -> "PruneConfig":
        goals = [name for name in ("macs", "latency", "blocks", "sparsity") if getattr(self, name) is not None]
        if len(goals) != 1:
            raise ValueError(
                "give exactly one of 'macs' (removes channels), 'latency' (removes blocks and channels), "
                "'blocks' (removes blocks) and 'sparsity' (zeroes weights)"
            )
        if self.sparsity is not None and self.criterion not in ("magnitude", "random"):
            raise ValueError(f"criterion '{self.criterion}' ranks channels; with 'sparsity' use magnitude or random")
        if (self.latency is None) != (self.target is None):
            raise ValueError("'latency' and 'target' belong together: latency is measured on a named target")
        return self
