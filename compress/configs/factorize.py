"""What a recipe may say of low-rank factorization."""

from typing import Literal

from pydantic import Field, model_validator

from compress.base_config import Fraction
from compress.training.config import FinetuneConfig


class FactorizeConfig(FinetuneConfig):
    """Split linear layers and convolutions into pairs of lower rank, by their singular values."""

    energy: Fraction | None = Field(None, examples=[0.95])
    """Each layer keeps the least rank that holds this share of its squared singular values."""
    rank_share: Fraction | None = Field(None, examples=[0.5])
    """Each layer keeps this share of its full rank."""
    macs: Fraction | None = Field(None, examples=[0.5])
    """The share of the incoming model's MACs to keep; the highest energy that reaches it is found, one for all layers."""
    conv: Literal["channel", "spatial"] = "channel"
    """How convolutions are split: k x k then 1 x 1 (Zhang et al. 2016, arXiv:1505.06798), or k x 1 then 1 x k
    (Jaderberg et al. 2014, arXiv:1405.3866; Tai et al. 2016, arXiv:1511.06067)."""
    align: int = Field(8, ge=1)
    """Ranks are rounded up to a multiple of this, because vector kernels like it."""
    keep_whole: tuple[str, ...] = Field((), examples=[["conv1", "fc"]])
    """Layers (dotted module names) that are not split."""
    latency_target: str | None = Field(None, examples=["onnxruntime-cpu"])
    """A target: a layer stays split only if the whole model was measured faster there with it."""
    finetune_epochs: int = Field(1, ge=0)
    """Epochs of fine-tuning after the split."""

    @model_validator(mode="after")
    def _one_goal(self) -> "FactorizeConfig":
        goals = [name for name in ("energy", "rank_share", "macs") if getattr(self, name) is not None]
        if len(goals) != 1:
            raise ValueError(
                "give exactly one of 'energy' (share of squared singular values), 'rank_share' and 'macs' (share to keep)"
            )
        if self.macs is not None and self.latency_target is not None:
            raise ValueError(
                "'latency_target' leaves layers whole that gain no time, so 'macs' could be missed: "
                "use it with 'energy' or 'rank_share'"
            )
        return self
