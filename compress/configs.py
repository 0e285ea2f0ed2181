"""What a recipe may say of each stage; the config's type selects the method. Imports nothing heavy."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from artifacts.types import ModelRef

Fraction = Annotated[float, Field(gt=0, le=1)]


class Config(BaseModel):
    """A part of a recipe: unknown keys are refused, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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
    def options(self) -> dict[str, Any]:
        """The builder's keyword arguments."""
        return dict(self.model_extra or {})

    def ref(self) -> ModelRef:
        """How to build the network, without its weights."""
        return ModelRef(self.zoo, self.factory, self.options)


class TrainConfig(Config):
    """How a network is trained, or fine-tuned."""

    epochs: int = Field(20, ge=0)
    batch_size: int = Field(64, ge=1)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(0.05, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    schedule: Literal["one-cycle", "cosine", "constant"] = "one-cycle"
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    augment: tuple[Literal["flip", "crop"], ...] = ()
    """Random horizontal flips and random crops after padding by an eighth; for images only."""
    examples: int | None = Field(None, ge=1)
    """Train on this many examples, drawn once with the recipe's seed; all of them by default."""


class DistilConfig(TrainConfig):
    """Train the model from the softened outputs of a teacher (Hinton et al. 2015, arXiv:1503.02531)."""

    teacher: ModelConfig | None = None
    """The teacher; if it has no weights it is trained first, as `train` says. Default: the model itself as it came in."""
    temperature: float = Field(4.0, gt=0)
    kd_weight: float = Field(0.7, ge=0, le=1)
    """Weight of the distillation term; the task's own loss has weight 1 - kd_weight."""


class PruneConfig(Config):
    """Remove channels until the measured MACs are at most `macs` of the start, or zero weights up to `sparsity`."""

    criterion: Literal["magnitude", "taylor", "bn-scale", "random"] = "magnitude"
    macs: Fraction | None = None
    """Structured: the share of the incoming model's MACs to keep; channels are physically removed."""
    sparsity: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Unstructured: the share of convolution and linear weights to zero, ranked globally."""
    steps: int = Field(1, ge=1, le=50)
    schedule: Literal["linear", "exponential", "cubic"] = "cubic"
    """How the target grows over the steps (cubic: Zhu and Gupta 2017, arXiv:1710.01878)."""
    align: int = Field(8, ge=1)
    """Kept widths are multiples of this, because vector kernels like them."""
    finetune_epochs: int = Field(1, ge=0)
    """Epochs of fine-tuning after each step."""
    learning_rate: float = Field(0.02, gt=0)
    batch_size: int = Field(64, ge=1)
    kd_weight: float = Field(0.7, ge=0, le=1)
    """During fine-tuning the model as it came in teaches with this weight."""
    temperature: float = Field(4.0, gt=0)
    augment: tuple[Literal["flip", "crop"], ...] = ()
    examples: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _one_goal(self) -> "PruneConfig":
        if (self.macs is None) == (self.sparsity is None):
            raise ValueError("give exactly one of 'macs' (removes channels) and 'sparsity' (zeroes weights)")
        if self.sparsity is not None and self.criterion not in ("magnitude", "random"):
            raise ValueError(f"criterion '{self.criterion}' ranks channels; with 'sparsity' use magnitude or random")
        return self

    def finetune(self) -> TrainConfig:
        """The training that follows each step."""
        return TrainConfig(
            epochs=self.finetune_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            augment=self.augment,
            examples=self.examples,
        )


class QuantizeConfig(Config):
    """Ask for int8; each target lowers it in its own way. With `qat_epochs` a trained variant is made beside the PTQ one."""

    scheme: Literal["int8"] = "int8"
    calibration_samples: int = Field(256, ge=1)
    calibrator: Literal["minmax", "percentile"] = "minmax"
    percentile: float = Field(99.99, gt=50, le=100)
    qat_epochs: int = Field(0, ge=0)
    learning_rate: float = Field(3e-4, gt=0)
    """Of AdamW: folded weights differ in scale from channel to channel, which plain SGD does not forgive."""
    batch_size: int = Field(64, ge=1)
    kd_weight: float = Field(0.7, ge=0, le=1)
    """During QAT the float model teaches with this weight."""
    temperature: float = Field(4.0, gt=0)
    augment: tuple[Literal["flip", "crop"], ...] = ()
    examples: int | None = Field(None, ge=1)

    def training(self) -> TrainConfig:
        """The quantization-aware training."""
        return TrainConfig(
            epochs=self.qat_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=0.0,
            optimizer="adamw",
            augment=self.augment,
            examples=self.examples,
        )
