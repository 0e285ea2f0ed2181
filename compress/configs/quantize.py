"""What a recipe may say of quantization."""

from typing import Literal

from pydantic import Field

from compress.configs.train import FinetuneConfig, TrainConfig


class QuantizeConfig(FinetuneConfig):
    """Ask for int8; each target lowers it in its own way. With `qat_epochs` a trained variant is made beside the PTQ one."""

    scheme: Literal["int8"] = "int8"
    calibration_samples: int = Field(256, ge=1)
    calibrator: Literal["minmax", "percentile"] = "minmax"
    percentile: float = Field(99.99, gt=50, le=100)
    per_channel: bool = True
    """One scale per output channel of a weight; off: one per tensor."""
    keep_float: tuple[str, ...] = ()
    """Layers (dotted module names) that stay in float."""
    weight_bits: Literal[4, 8] = 8
    """How many bits weights are rounded to; 4-bit values are stored and run as int8 where a target has no int4 kernels."""
    accuracy_drop: float | None = Field(None, gt=0)
    """The accuracy guard: climb the ladder of remedies until the deployed metric is within this of the float file's."""
    qat_epochs: int = Field(0, ge=0)
    learning_rate: float = Field(3e-4, gt=0)
    """Of AdamW: folded weights differ in scale from channel to channel, which plain SGD does not forgive."""

    def training(self, epochs: int) -> TrainConfig:
        """The quantization-aware training."""
        return super().training(epochs).model_copy(update={"weight_decay": 0.0, "optimizer": "adamw"})
