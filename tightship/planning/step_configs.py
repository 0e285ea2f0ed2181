"""What each kind of step is told, besides its inputs: its key is hashed from exactly this, and it is told nothing else."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from artifacts.files import sha256_json
from artifacts.json import JsonValue
from compress.configs import (
    Config,
    DistilConfig,
    FactorizeConfig,
    ModelConfig,
    PalettizeConfig,
    PruneConfig,
    QuantizeConfig,
    TrainConfig,
)
from tightship.recipe.data import DataConfig
from tightship.recipe.loop import LoopMeasure
from tightship.recipe.sections import ExportConfig

OptionValues = Mapping[str, bool | int | str]
"""Options of a target that are not at their default, as plain values."""


class StepConfig(Config):
    """What one step is told."""

    def as_json(self) -> dict[str, JsonValue]:
        """All of it as plain values."""
        return self.model_dump(mode="json")

    def digest(self) -> str:
        """A SHA-256 over all of it."""
        return sha256_json(self.as_json())


class DataStep(StepConfig):
    """Load the data and describe it."""

    data: DataConfig


class NetworkSource(StepConfig):
    """How a network is built, and the digests of what it is built from."""

    network: ModelConfig
    weights_sha256: str | None = None
    factory_sha256: str | None = None


class StartStep(StepConfig):
    """The network as it comes: with its weights, or trained."""

    source: NetworkSource
    train: TrainConfig | None
    """None: it has weights."""
    seed: int


class Taught(StepConfig):
    """One teacher of a distillation: an earlier step's network, or a file."""

    weight: float
    input: str | None = None
    """The input of the step that holds the network."""
    file: Path | None = None
    sha256: str | None = None


class DistilStep(StepConfig):
    """Train a network from its teachers."""

    config: DistilConfig
    """Without its teachers, which are named below."""
    teachers: tuple[Taught, ...]
    fresh: NetworkSource | None = None
    """The student, where no earlier step made it."""
    seed: int


class LatencySource(StepConfig):
    """Where a method that asks for latencies has them measured, and as what."""

    target: str
    precision: str
    """`fp32` or `int8`."""
    machine: str
    threads: int
    options: OptionValues = Field(default_factory=dict)
    export: ExportConfig = ExportConfig()
    operators_sha256: Mapping[str, str] = Field(default_factory=dict)


class PruneStep(StepConfig):
    """Prune a network."""

    config: PruneConfig
    latency: LatencySource | None = None
    seed: int


class FactorizeStep(StepConfig):
    """Split layers into pairs of lower rank."""

    config: FactorizeConfig
    latency: LatencySource | None = None
    seed: int


class PalettizeStep(StepConfig):
    """Give weights few distinct values."""

    config: PalettizeConfig
    seed: int


class QatStep(StepConfig):
    """Quantization-aware training."""

    config: QuantizeConfig
    seed: int


class Rewrite(StepConfig):
    """That a target's options change the file that is shipped."""

    target: str
    options: OptionValues


class ExportStep(StepConfig):
    """Write one file, quantized as its target wants it."""

    format: str
    precision: str
    """What the file is called, such as `int8-qat`; without a row's label, so that equal files are made once."""
    scheme: str | None = None
    quantizer: str | None = None
    quantize: QuantizeConfig | None = None
    """How it is quantized; without what only training follows, but for the accuracy guard."""
    export: ExportConfig = ExportConfig()
    """What this format follows of the recipe's section; the rest is at its default."""
    operators_sha256: Mapping[str, str] = Field(default_factory=dict)
    """Of the functions that translate operators of the user's own."""
    rewrite: Rewrite | None = None
    isa: tuple[str, ...] | None = None
    """This CPU's vector instructions, where the file fits such CPUs only."""
    vnni: bool | None = None
    """Whether this CPU has VNNI, where the quantizer chooses by it."""
    seed: int

    def plain(self) -> "ExportStep":
        """How the file is made, without how the accuracy guard finds it: a nested config is written as its field's type."""
        return ExportStep(**{name: getattr(self, name) for name in ExportStep.model_fields})


class GuardStep(ExportStep):
    """Write one int8 file whose accuracy on its target holds."""

    target: str
    target_isa: tuple[str, ...]
    """The same int8 file scores differently on another instruction set."""
    threads: int
    options: OptionValues = Field(default_factory=dict)


class CheckStep(StepConfig):
    """Hold a file against its network, on its target."""

    target: str
    isa: tuple[str, ...]
    threads: int
    options: OptionValues = Field(default_factory=dict)
    export: ExportStep
    """How the file was made: what it must compute follows from that."""


class SensitivityStep(CheckStep):
    """Rank the layers of an int8 file by what they lose."""

    samples: int


class LoopStep(CheckStep):
    """Call a file in a loop."""

    loop: LoopMeasure
    processes: int
    seconds: float
    """Least time of loops in each process."""
    machine: str


class MeasureStep(StepConfig):
    """Measure all files against each other."""

    processes: int
    blocks: int
    block_seconds: float
    threads: int
    throughput_batch: int
    machine: str
    """The fingerprint: what is measured on a machine holds for that machine."""
    artifacts: Mapping[str, OptionValues]
    """Every file by its name, with the options that its target opens it with; files are told apart by what is measured."""
