"""How networks are trained, and fine-tuned after they were compressed."""

from typing import Literal

from pydantic import Field

from compress.configs.base import Config

Augment = Literal["flip", "crop"]


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
    augment: tuple[Augment, ...] = ()
    """Random horizontal flips and random crops after padding by an eighth; for images only."""
    examples: int | None = Field(None, ge=1)
    """Train on this many examples, drawn once with the recipe's seed; all of them by default."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the forward and backward pass (automatic mixed precision); weights and their updates stay fp32."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay of an exponential moving average of weights and buffers, which is what is kept; 0 keeps the last weights."""


class FinetuneConfig(Config):
    """The options of the training that follows a compression step; the float model as it came in teaches."""

    learning_rate: float = Field(0.02, gt=0)
    batch_size: int = Field(64, ge=1)
    kd_weight: float = Field(0.7, ge=0, le=1)
    """During fine-tuning the model as it came in teaches with this weight."""
    temperature: float = Field(4.0, gt=0)
    augment: tuple[Augment, ...] = ()
    examples: int | None = Field(None, ge=1)
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    ema: float = Field(0.0, ge=0, lt=1)

    def training(self, epochs: int) -> TrainConfig:
        """`epochs` epochs with these options."""
        return TrainConfig(
            epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            augment=self.augment,
            examples=self.examples,
            precision=self.precision,
            ema=self.ema,
        )
