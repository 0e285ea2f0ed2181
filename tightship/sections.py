"""The sections of a recipe that say where data comes from, which targets, what must hold, and how much is measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from compress.configs import Config
from compress.configs.quantize import Scheme
from runtimes.registry import find
from zoo.data import DataRef

Precision = Literal["fp32"] | Scheme


class DataConfig(Config):
    """Where the examples come from: exactly one of these."""

    zoo: str | None = None
    factory: str | None = None
    imagefolder: Path | None = None
    idx: Path | None = None
    npz: Path | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "DataConfig":
        if sum(v is not None for v in (self.zoo, self.factory, self.imagefolder, self.idx, self.npz)) != 1:
            raise ValueError("give exactly one of 'zoo', 'factory', 'imagefolder', 'idx' and 'npz'")
        return self

    def ref(self) -> DataRef:
        """What `zoo.data` loads."""
        return DataRef(self.zoo, self.factory, self.imagefolder, self.idx, self.npz)


class GatesConfig(Config):
    """Limits that each shipped artifact must meet, as measured on the deployed file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    accuracy_drop: float | None = Field(None, ge=0)
    """Largest loss of the metric against the reference (0.01 is one point of accuracy)."""
    accuracy_min: float | None = None
    latency_p50_ms: float | None = Field(None, gt=0)
    latency_p90_ms: float | None = Field(None, gt=0)
    latency_p99_ms: float | None = Field(None, gt=0)
    size_mb: float | None = Field(None, gt=0)
    """MB of 10^6 bytes, every sidecar counted."""
    size_ratio: float | None = Field(None, gt=0)
    """Shipped bytes divided by the reference's."""
    speedup: float | None = Field(None, gt=0)
    """Least speed-up over the reference in PyTorch eager; the lower end of its 95 % interval decides."""
    stock_latency: float | None = Field(None, gt=0)
    """Largest share of the latency of the target's stock int8 file; the upper end of its 95 % interval decides."""
    peak_rss_mb: float | None = Field(None, gt=0)
    cold_start_ms: float | None = Field(None, gt=0)
    fallback_share: float | None = Field(None, ge=0, le=1)
    """Largest share of operators outside the accelerated kernels."""

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch(cls, limit: Any) -> Any:
        if isinstance(limit, bool):
            raise ValueError(f"a limit is a number, not {str(limit).lower()}")
        return limit

    def limits(self) -> dict[str, float]:
        """The limits that are set."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class TargetConfig(Config):
    """One target to build for."""

    name: str
    optional: bool = False
    """If it cannot run here, say so in the report instead of failing."""
    precisions: tuple[Precision, ...] | None = None
    """fp32 and schemes of quantization; by default fp32 and the scheme of the recipe's `quantize`."""
    stock: bool = False
    """Measure beside it the reference in int8 as the runtime's own tools make it: what a user has without compression."""
    gates: GatesConfig | None = None
    """Limits of this target; they replace the recipe's of the same name."""
    options: Mapping[str, Any] = Field(default_factory=dict)
    """How its runtime opens the files, by the runtime's own names."""
    label: str | None = Field(None, pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=40)
    """Tells rows of one target apart: their artifacts end in `@label`."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        find(name)
        return name

    @model_validator(mode="after")
    def _options_of_the_target(self) -> "TargetConfig":
        find(self.name).read_options(self.options)
        return self


class MeasureConfig(Config):
    """How much is measured."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    processes: Annotated[int, Field(ge=1, le=100)] = 3
    """Fresh processes per artifact; the interval is over these."""
    blocks: Annotated[int, Field(ge=1)] = 4
    block_seconds: Annotated[float, Field(gt=0)] = 0.15
    threads: Annotated[int, Field(ge=1)] = 1
    throughput_batch: Annotated[int, Field(ge=1)] = 32
