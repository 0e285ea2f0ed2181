"""How networks are trained, and fine-tuned after they were compressed."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from compress.base_config import Config
from compress.losses.choice import TaskLoss

Augment = Literal["flip", "crop"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Schedule = Literal["one-cycle", "cosine", "step", "constant"]
Share = Annotated[float, Field(gt=0, lt=1)]

WARMUP = {"one-cycle": 0.25}
"""Schedules that warm up unless told otherwise."""


class LoopConfig(Config):
    """What the training of a network and the fine-tuning after a compression step have in common."""

    renamed: ClassVar[Mapping[str, str]] = {"examples": "samples", "schedule": "lr_schedule", "rate_schedule": "lr_schedule"}

    batch_size: int = Field(64, ge=1)
    """Examples per forward and backward pass, over all processes."""
    accumulate: int = Field(1, ge=1)
    """Batches whose gradients are averaged into one update."""
    warmup: float | None = Field(None, ge=0, lt=1, examples=[0.05])
    """Share of the training over which the rate rises linearly; by default 0.25 for one-cycle and none for the others."""
    loss: TaskLoss | None = Field(None, examples=["cross-entropy"])
    """The task's own loss; by default that of the data, or cross-entropy for class numbers and mse for real targets. A name, a
    `module:callable` of yours on all outputs and targets, or by output: `{scores: bce, boxes: {loss: huber, weight: 5}}`."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of a class target that is spread over all classes (Szegedy et al. 2016, arXiv:1512.00567); 0 is off."""
    clip_norm: float | None = Field(None, gt=0, examples=[5.0])
    """Largest L2 norm of all gradients together; longer ones are scaled down to it."""
    augment: tuple[Augment, ...] = Field((), examples=[["flip", "crop"]])
    """Random horizontal flips and random crops after padding by an eighth; for images only."""
    mixup: float = Field(0.0, ge=0)
    """Blend pairs of examples, with shares from Beta(mixup, mixup) (Zhang et al. 2018, arXiv:1710.09412); 0 is off."""
    cutmix: float = Field(0.0, ge=0)
    """Paste a box of another image, its area from Beta(cutmix, cutmix) (Yun et al. 2019, arXiv:1905.04899); 0 is off."""
    samples: int | None = Field(None, ge=1, examples=[10000])
    """Train on this many examples, drawn once with the recipe's seed; all of them by default."""
    precision: Precision = "fp32"
    """Of the forward and backward pass (automatic mixed precision); weights and their updates stay fp32. auto: bf16 where the
    device multiplies it natively, fp32 where it would be emulated, which takes twice as long as fp32."""
    channels_last: bool = False
    """Images and convolutions are laid out (N, H, W, C) in memory while training; results differ by rounding only."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay of an exponential moving average of weights and buffers, which is what is kept; 0 keeps the last weights."""
    holdout: float = Field(0.0, ge=0, lt=1)
    """Share of the training examples that are held out and scored after each epoch; the best state is what is kept."""
    patience: int | None = Field(None, ge=1, examples=[5])
    """Stop after this many epochs without a better score on the held-out examples."""

    @model_validator(mode="after")
    def _patience_needs_a_score(self) -> Self:
        if self.patience is not None and not self.holdout:
            raise ValueError("'patience' waits for a better score on held-out examples: set 'holdout' too, such as 0.1")
        return self


class TrainConfig(LoopConfig):
    """How a network is trained, or fine-tuned."""

    lr_schedule: Schedule = "one-cycle"
    """How the learning rate goes; step follows `milestones` and `gamma`."""
    epochs: int = Field(20, ge=0)
    """Passes over the training examples."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """Stochastic gradient descent with Nesterov momentum, or AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101)."""
    learning_rate: float = Field(0.05, gt=0)
    """The highest rate of the schedule."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """With optimizer sgd: the share of the last update that goes on."""
    weight_decay: float = Field(5e-4, ge=0)
    """Share of a weight that each update takes off, times the rate."""
    milestones: tuple[Share, ...] = (0.5, 0.75)
    """With schedule step: the shares of the training after which the rate is multiplied by `gamma`."""
    gamma: float = Field(0.1, gt=0, le=1)
    """With schedule step: what the rate is multiplied by after each of the `milestones`."""

    @property
    def warmup_share(self) -> float:
        """The share of the steps over which the rate rises, the schedule's own by default."""
        return WARMUP.get(self.lr_schedule, 0.0) if self.warmup is None else self.warmup


class FinetuneConfig(LoopConfig):
    """The options of the training that follows a compression step; the float model as it came in teaches."""

    learning_rate: float = Field(0.02, gt=0)
    """The highest rate of the schedule."""
    lr_schedule: Schedule = "one-cycle"
    """How the learning rate of the fine-tuning goes."""
    kd_weight: float = Field(0.7, ge=0, le=1)
    """During fine-tuning the model as it came in teaches with this weight."""
    temperature: float = Field(4.0, gt=0)
    """What its logits and the network's are divided by before the softmax."""

    def training(self, epochs: int) -> TrainConfig:
        """`epochs` epochs with these options."""
        shared = {name: getattr(self, name) for name in LoopConfig.model_fields}
        return TrainConfig(epochs=epochs, learning_rate=self.learning_rate, lr_schedule=self.lr_schedule, **shared)
