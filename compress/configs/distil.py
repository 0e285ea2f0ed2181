"""What a recipe may say of distillation."""

from pydantic import Field

from compress.configs.base import ModelConfig
from compress.configs.train import TrainConfig


class DistilConfig(TrainConfig):
    """Train the model from the softened outputs of a teacher (Hinton et al. 2015, arXiv:1503.02531)."""

    teacher: ModelConfig | None = None
    """The teacher; if it has no weights it is trained first, as `train` says. Default: the model itself as it came in."""
    temperature: float = Field(4.0, gt=0)
    kd_weight: float = Field(0.7, ge=0, le=1)
    """Weight of the distillation term; the task's own loss has weight 1 - kd_weight."""
