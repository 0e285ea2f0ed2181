"""What a recipe may say of pruning."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from compress.base_config import Fraction, known_names
from compress.criteria import CRITERIA
from compress.training.config import FinetuneConfig

GOALS = ("macs", "parameters", "bytes", "latency", "blocks", "sparsity", "n_of_m")


class PruneConfig(FinetuneConfig):
    """Remove channels until what is measured is at most a share of the start, or zero weights up to `sparsity`."""

    renamed: ClassVar[Mapping[str, str]] = {
        **FinetuneConfig.renamed,
        "finalists": "candidates",
        "race_examples": "candidate_samples",
    }

    criterion: str = Field("magnitude", json_schema_extra=known_names(CRITERIA))
    """What a channel or a weight is ranked by."""
    ranking: Literal["global", "local"] = "global"
    """Over the whole network, or the same share in every group of channels (of weights: in every layer)."""
    macs: Fraction | None = Field(None, examples=[0.5])
    """Structured: the share of the incoming model's MACs to keep; channels are physically removed."""
    parameters: Fraction | None = Field(None, examples=[0.5])
    """Structured: the share of the incoming model's parameters to keep."""
    bytes: Fraction | None = Field(None, examples=[0.5])
    """Structured: the share of the incoming float model's bytes to keep."""
    latency: Fraction | None = Field(None, examples=[0.65])
    """Structured, blocks and channels: the share of the incoming model's latency to keep, as measured on `target`."""
    target: str | None = Field(None, examples=["onnxruntime-cpu"])
    """With `latency`: the target that it is measured on."""
    latency_precision: Literal["fp32", "int8"] = "int8"
    """With `latency`: as what the network will be deployed there."""
    blocks: int | None = Field(None, ge=1, examples=[9])
    """Depth: how many of the blocks that can be removed are kept, ranked by the loss that their removal causes."""
    candidates: int = Field(1, ge=1)
    """With `latency` or `blocks`: how many choices are trained for a short while before one is taken."""
    candidate_samples: int = Field(2048, ge=1)
    """With `candidates`: how many examples each is trained on in the first round; half of them leave after each."""
    sparsity: Annotated[float, Field(gt=0, lt=1)] | None = Field(None, examples=[0.8])
    """Unstructured: the share of convolution and linear weights to zero."""
    n_of_m: Annotated[str, Field(pattern=r"^[1-9]\d*:[1-9]\d*$")] | None = Field(None, examples=["2:4"])
    """Unstructured, N:M such as `2:4`: of every M consecutive weights along the input channels at most N are kept."""
    rewind: bool = False
    """Lottery ticket: every step trains, prunes and rewinds to the weights at the start of this stage."""
    regularize: Literal["group-lasso", "bn-scale"] | None = Field(None, examples=["group-lasso"])
    """A penalty that makes channels sparse, in a training of its own before the first cut."""
    regularize_weight: float = Field(0.01, gt=0)
    """What the penalty is multiplied with before it is added to the loss: the shorter the training, the more it takes."""
    regularize_epochs: int = Field(5, ge=1)
    """Epochs of that training."""
    steps: int = Field(1, ge=1, le=50)
    """In how many steps the goal is reached; `finetune_epochs` follow each."""
    schedule: Literal["one-shot", "linear", "exponential", "cubic"] = "cubic"
    """How the target grows over the steps (one-shot: all in one step; cubic: Zhu and Gupta 2017, arXiv:1710.01878)."""
    align: int = Field(8, ge=1)
    """Kept widths are multiples of this, because vector kernels like them."""
    finetune_epochs: int = Field(1, ge=0)
    """Epochs of fine-tuning after each step."""

    @field_validator("criterion")
    @classmethod
    def _known(cls, name: str) -> str:
        return CRITERIA.find(name).name

    @field_validator("n_of_m", mode="before")
    @classmethod
    def _quoted(cls, value: object) -> object:
        if isinstance(value, int):  # what YAML makes of 2:4
            raise ValueError("put it in quotes, as in '2:4': without them YAML reads a time of day")
        return value

    @model_validator(mode="after")
    def _one_goal(self) -> "PruneConfig":
        goals = [name for name in GOALS if getattr(self, name) is not None]
        if len(goals) != 1:
            raise ValueError(
                "give exactly one of 'macs', 'parameters', 'bytes' (each removes channels), 'latency' (removes blocks and "
                "channels), 'blocks' (removes blocks), 'sparsity' and 'n_of_m' (each zeroes weights)"
            )
        self._criterion_ranks(goals[0])
        if (self.latency is None) != (self.target is None):
            raise ValueError("'latency' and 'target' belong together: latency is measured on a named target")
        return self._methods()

    def _criterion_ranks(self, goal: str) -> None:
        """Refuse a criterion that cannot rank what leaves."""
        criterion = CRITERIA.find(self.criterion)
        other = criterion.instead or "magnitude"
        if self.zeroes_weights and criterion.weights is None:
            raise ValueError(f"criterion '{criterion.name}' ranks channels; with '{goal}' use {other}")
        if not self.zeroes_weights and criterion.channels is None:
            raise ValueError(f"criterion '{criterion.name}' ranks single weights; with '{goal}' use {other}")

    def _methods(self) -> "PruneConfig":
        """Refuse options that the goal has no use for."""
        if self.schedule == "one-shot" and self.steps != 1:
            raise ValueError(f"schedule one-shot takes one step, not {self.steps}: leave out 'steps', or use cubic")
        if self.n_of_m is not None:
            n, m = (int(part) for part in self.n_of_m.split(":"))
            if n >= m:
                raise ValueError(f"n_of_m '{self.n_of_m}' prunes nothing: N must be smaller than M, as in 2:4")
            if self.ranking == "local":
                raise ValueError("n_of_m ranks within every M weights: leave out 'ranking'")
        if self.rewind and not (self.zeroes_weights and self.finetune_epochs):
            raise ValueError(
                "'rewind' trains between steps and keeps masks: it needs 'sparsity' or 'n_of_m', and finetune_epochs"
            )
        if self.regularize and self.channel_goal is None:
            raise ValueError("'regularize' prepares channels for being cut: it needs 'macs', 'parameters' or 'bytes'")
        return self

    @property
    def channel_goal(self) -> tuple[str, float] | None:
        """What channels are removed for, and the share of it to keep."""
        given = [(name, getattr(self, name)) for name in ("macs", "parameters", "bytes")]
        return next(((name, share) for name, share in given if share is not None), None)

    @property
    def zeroes_weights(self) -> bool:
        """Whether weights are set to zero and masked, and all shapes stay."""
        return self.sparsity is not None or self.n_of_m is not None
