"""What a recipe may say of quantization."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from compress.training.config import FinetuneConfig, TrainConfig

Scheme = Literal["int8", "int8-dynamic", "int8-weights", "int4-weights", "palette4-weights", "fp16", "bf16"]


OF_INT8 = {"qat_epochs": 0, "weight_bits": 8, "max_drop": None}
"""What only int8 has, and the values that ask for none of it."""
OF_BLOCKS = ("int8-weights", "int4-weights")


class QuantizeConfig(FinetuneConfig):
    """Ask for a scheme; each target lowers it in its own way. `qat_epochs` makes a trained variant beside the PTQ one."""

    renamed: ClassVar[Mapping[str, str]] = {**FinetuneConfig.renamed, "accuracy_drop": "max_drop"}

    scheme: Scheme = "int8"
    """What is rounded, and to how many bits; a target that does not run it is refused as the recipe is planned."""
    calibration_samples: int = Field(256, ge=1)
    """Training examples, drawn once with the recipe's seed, that the ranges of activations are taken from."""
    calibrator: Literal["minmax", "percentile", "entropy", "mse"] = "minmax"
    """How a range is taken: smallest and largest value, percentiles, least KL divergence, or least squared rounding error."""
    percentile: float = Field(99.99, gt=50, le=100)
    """With calibrator percentile: the percentage of values that the range holds; the rest is cut off at either end."""
    per_channel: bool = True
    """One scale per output channel of a weight; off: one per tensor."""
    keep_float: tuple[str, ...] = Field((), examples=[["conv1", "fc"]])
    """Layers (dotted module names) that stay in float."""
    weight_bits: Literal[4, 8] = 8
    """How many bits weights are rounded to; 4-bit values are stored and run as int8 where a target has no int4 kernels."""
    block_size: Literal[16, 32, 64, 128, 256] = 32
    """With `int8-weights` and `int4-weights`: so many inputs of a linear layer share a scale."""
    max_drop: float | None = Field(None, gt=0, examples=[0.01])
    """The accuracy guard: try remedies until the deployed metric is within this of the float file's; 0.01 is one point of
    accuracy."""
    qat_epochs: int = Field(0, ge=0)
    """Epochs of quantization-aware training; above 0, targets that can carry learned ranges get a file `int8-qat` too."""
    learning_rate: float = Field(3e-4, gt=0)
    """Of AdamW: folded weights differ in scale from channel to channel, which plain SGD does not forgive."""

    @model_validator(mode="after")
    def _fits_the_scheme(self) -> "QuantizeConfig":
        if self.scheme != "int8":
            for name, idle in OF_INT8.items():
                if getattr(self, name) != idle:
                    raise ValueError(f"'{name}' belongs to scheme int8, not to {self.scheme}: take it out")
        if self.block_size != 32 and self.scheme not in OF_BLOCKS:
            raise ValueError(
                f"'block_size' belongs to schemes int8-weights and int4-weights, not to {self.scheme}: take it out"
            )
        return self

    def of(self, scheme: str) -> "QuantizeConfig":
        """The same for another scheme, without what only this one's files follow."""
        idle = {**({} if scheme == "int8" else OF_INT8), **({} if scheme in OF_BLOCKS else {"block_size": 32})}
        return self.model_copy(update={**idle, "scheme": scheme})

    def training(self, epochs: int) -> TrainConfig:
        """The quantization-aware training."""
        return super().training(epochs).model_copy(update={"weight_decay": 0.0, "optimizer": "adamw"})
