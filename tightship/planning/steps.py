"""What a plan is made of: steps, and the files that some of them make. Imports nothing heavy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from artifacts.ids import ArtifactId
from runtimes.options import Options
from tightship.planning.step_configs import OptionValues, StepConfig

TRAINING = ("torch", "torch-pruning", "numpy", "accelerate")
COMPRESSING = ("artifacts", "zoo", "compress")
EVERYTHING = (*COMPRESSING, "export", "runtimes", "benchmarks")
TRAINED = ("start", "distil", "prune", "factorize", "palettize", "quantize", "guard")
DATA, REFERENCE, MEASURE = "data", "reference", "measure"

SOURCE, FILE = "source", "file"
"""The inputs of a step that are a network and an exported file."""

Kind = Literal[
    "data", "start", "distil", "prune", "factorize", "palettize", "quantize", "export", "convert", "guard", "check",
    "sensitivity", "measure", "loop",
]  # fmt: skip


@dataclass(frozen=True)
class ArtifactPlan:
    """One file that will be made for one target."""

    id: ArtifactId
    format: str
    role: Literal["reference", "stock", "compressed"]
    source: str
    """The step whose network it is made from."""
    quantizer: str | None = None
    scheme: str | None = None
    """The scheme of quantization, where there is one."""
    settings: Options = field(default_factory=Options)
    """How its target makes and opens it."""

    @property
    def target(self) -> str:
        """The target's name."""
        return self.id.target

    @property
    def precision(self) -> str:
        """How its numbers are stored and made, such as `int8-qat`; without a row's label."""
        return "fp32" if self.role == "reference" else self.id.precision

    @property
    def options(self) -> OptionValues:
        """Its settings that are not at their default, as plain values."""
        return self.settings.non_default()

    @property
    def export_step(self) -> str:
        """The step that makes the file."""
        return f"export {self.id}"

    @property
    def check_step(self) -> str:
        """The step that holds the file against its network."""
        return f"check {self.id}"

    @property
    def sensitivity_step(self) -> str:
        """The step that ranks the file's layers, if the recipe asks for it."""
        return f"sensitivity {self.id}"

    @property
    def loop_step(self) -> str:
        """The step that calls the file in a loop, if the recipe asks for it."""
        return f"loop {self.id}"


@dataclass(frozen=True)
class Step:
    """One stage of the run."""

    name: str
    kind: Kind
    config: StepConfig
    needs: Mapping[str, str]
    """Input -> the step that it comes from."""
    libraries: tuple[str, ...]
    """The distributions whose versions decide the result."""
    packages: tuple[str, ...]
    """The packages of ours whose code does."""
