"""What a recipe may say of distillation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from compress.base_config import ModelConfig, known_names
from compress.losses import LOSSES
from compress.training.config import TrainConfig


class TeacherConfig(ModelConfig):
    """A teacher: a network as elsewhere in a recipe, an exported file, or the model as it came in."""

    original: bool = False
    """The model as it came in, named so that others can teach beside it."""
    file: Path | None = Field(None, examples=["ensemble.onnx"])
    """An .onnx file, run by onnxruntime, or a TorchScript one (.pt, .ts)."""
    weight: float = Field(1.0, gt=0)
    """What it counts for among several teachers; weights are normalized to a sum of one."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(v is not None for v in (self.zoo, self.factory, self.file)) + self.original != 1:
            raise ValueError("give exactly one of 'zoo', 'factory', 'file' and 'original: true'")
        if not self.is_network and (self.weights is not None or self.options):
            extra = "weights" if self.weights is not None else next(iter(self.options))
            named = "file" if self.file else "original"
            raise ValueError(f"a teacher {named!r} holds its own network and weights: leave {extra!r} out")
        return self

    @property
    def is_network(self) -> bool:
        """Whether it is built for teaching: neither a file nor the model as it came in."""
        return self.file is None and not self.original

    def network(self) -> ModelConfig:
        """The network, without what is said of it as a teacher."""
        same = {name: getattr(self, name) for name in ModelConfig.model_fields}
        return ModelConfig(**same, **self.options)


class DistilConfig(TrainConfig):
    """Train the model from the outputs or the layers of one or more teachers."""

    method: Literal["logits", "features", "attention"] = "logits"
    """Softened outputs (arXiv:1503.02531); with features (arXiv:1412.6550) or attention (arXiv:1612.03928) layers as well."""
    teacher: TeacherConfig | None = Field(None, examples=[{"zoo": "resnet", "depth": 20, "width": 16}])
    """The teacher; if it has no weights it is trained first, as `train` says. Default: the model itself as it came in."""
    teachers: tuple[TeacherConfig, ...] = Field((), examples=[[{"original": True}, {"file": "ensemble.onnx", "weight": 2}]])
    """Several teachers, whose probabilities are averaged with their weights."""
    temperature: float = Field(4.0, gt=0)
    """What the logits of teacher and student are divided by before the softmax; above 1 softens them."""
    kd_weight: float = Field(0.7, ge=0, le=1)
    """Weight of the distillation term on outputs; the task's own loss has weight 1 - kd_weight."""
    output_loss: str | Mapping[str, str] | None = Field(None, examples=["kl"], json_schema_extra=known_names(LOSSES))
    """The term on outputs: kl for classes, mse or cosine for values and embeddings; one for all, or by output. Default: by the
    kind of targets."""
    layers: dict[str, str] = Field(default_factory=dict, examples=[{"layer3": "layer3"}])
    """With features and attention: student layer -> layer of the first teacher, by dotted module names."""
    feature_weight: float | None = Field(None, gt=0, examples=[10])
    """Weight of the term on layers; default 1 for features, 1000 for attention (the authors' beta)."""

    @field_validator("output_loss")
    @classmethod
    def _compares_with_teachers(cls, given: str | Mapping[str, str] | None) -> str | Mapping[str, str] | None:
        for name in given.values() if isinstance(given, Mapping) else (given,) if given else ():
            if LOSSES.find(name).teaching is None:
                known = ", ".join(loss.name for loss in LOSSES.values() if loss.teaching)
                raise ValueError(f"loss '{name}' compares with targets, not with a teacher; use {known}")
        return given

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
        if self.all_teachers and self.all_teachers[0].file:
            first = "the first teacher, which must be a network, not a file"
            raise ValueError(f"method '{self.method}' reads the layers of {first}")
        return self

    @property
    def all_teachers(self) -> tuple[TeacherConfig, ...]:
        """All teachers that are named; none means the model itself as it came in."""
        return self.teachers or ((self.teacher,) if self.teacher else ())

    @property
    def networks(self) -> tuple[TeacherConfig, ...]:
        """The teachers that are built for teaching."""
        return tuple(teacher for teacher in self.all_teachers if teacher.is_network)

    @property
    def teacher_is_reference(self) -> bool:
        """Whether its first network stands in for the model as the reference, where it begins the chain."""
        return bool(self.networks) and not any(teacher.original for teacher in self.all_teachers)
