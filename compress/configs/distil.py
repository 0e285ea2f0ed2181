"""What a recipe may say of distillation."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from compress.configs.base import ModelConfig
from compress.configs.train import TrainConfig

OutputLoss = Literal["kl", "mse", "cosine"]


class TeacherConfig(ModelConfig):
    """A teacher: a network as elsewhere in a recipe, or an exported file."""

    file: Path | None = None
    """An .onnx file, run by onnxruntime, or a TorchScript one (.pt, .ts)."""
    weight: float = Field(1.0, gt=0)
    """What it counts for among several teachers; weights are normalised to a sum of one."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(v is not None for v in (self.zoo, self.factory, self.file)) != 1:
            raise ValueError("give exactly one of 'zoo', 'factory' and 'file'")
        if self.file is not None and (self.weights is not None or self.options):
            extra = "weights" if self.weights is not None else next(iter(self.options))
            raise ValueError(f"a teacher 'file' holds its own network and weights: leave {extra!r} out")
        return self

    def network(self) -> ModelConfig:
        """The network, without what is said of it as a teacher."""
        return ModelConfig(zoo=self.zoo, factory=self.factory, weights=self.weights, **self.options)


class DistilConfig(TrainConfig):
    """Train the model from the outputs or the layers of one or more teachers."""

    method: Literal["logits", "features", "attention"] = "logits"
    """Softened outputs (arXiv:1503.02531); with features (arXiv:1412.6550) or attention (arXiv:1612.03928) layers as well."""
    teacher: TeacherConfig | None = None
    """The teacher; if it has no weights it is trained first, as `train` says. Default: the model itself as it came in."""
    teachers: tuple[TeacherConfig, ...] = ()
    """Several teachers, whose probabilities are averaged with their weights."""
    temperature: float = Field(4.0, gt=0)
    kd_weight: float = Field(0.7, ge=0, le=1)
    """Weight of the distillation term on outputs; the task's own loss has weight 1 - kd_weight."""
    output_loss: OutputLoss | None = None
    """The term on outputs: kl for classes, mse or cosine for values and embeddings. Default: by the kind of targets."""
    layers: dict[str, str] = Field(default_factory=dict)
    """With features and attention: student layer -> teacher layer, by dotted module names."""
    feature_weight: float | None = Field(None, gt=0)
    """Weight of the term on layers; default 1 for features, 1000 for attention (the authors' beta)."""

    @model_validator(mode="after")
    def _layers_and_teachers(self) -> Self:
        if self.teacher is not None and self.teachers:
            raise ValueError("give 'teacher' or 'teachers', not both")
        if self.method == "logits":
            given = "layers" if self.layers else "feature_weight" if self.feature_weight is not None else None
            if given:
                raise ValueError(f"'{given}' belongs to method features or attention; method is 'logits'")
            return self
        if not self.layers:
            raise ValueError(f"method '{self.method}' needs 'layers', such as {{layer3: layer3}} (student: teacher)")
        if len(self.lineup) > 1 or any(t.file for t in self.lineup):
            raise ValueError(f"method '{self.method}' reads the layers of one teacher that is a network: use method logits")
        return self

    @property
    def lineup(self) -> tuple[TeacherConfig, ...]:
        """All teachers that are named; none means the model itself as it came in."""
        return self.teachers or ((self.teacher,) if self.teacher else ())

    @property
    def networks(self) -> tuple[TeacherConfig, ...]:
        """The named teachers that are no files."""
        return tuple(t for t in self.lineup if t.file is None)
