"""What a plan is made of: steps, and the files that some of them make. Imports nothing heavy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

TRAINING = ("torch", "torch-pruning", "numpy", "accelerate")
COMPRESSING = ("artifacts", "zoo", "compress")
EVERYTHING = (*COMPRESSING, "export", "runtimes", "benchmarks")
TRAINED = ("start", "distil", "prune", "factorize", "palettize", "quantize", "guard")
DATA, REFERENCE, MEASURE = "data", "reference", "measure"
SENSITIVITY = "sensitivity"


@dataclass(frozen=True)
class ArtifactPlan:
    """One file that will be made for one target."""

    id: str
    target: str
    format: str
    precision: str
    """fp32, int8-ptq, int8-qat or int8-guard; `-script` marks a second format of the same precision, `@label` a row."""
    role: Literal["reference", "stock", "compressed"]
    source: str
    """The step whose network it is made from."""
    quantizer: str | None
    scheme: str | None = None
    """The scheme of quantization, where there is one."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The target's options that are not at their default."""
    label: str | None = None
    """Which of the recipe's rows for the target it belongs to."""

    @property
    def session_options(self) -> dict[str, Any]:
        """How the file is opened, where that is not the default; so that a recipe that says nothing keeps its keys."""
        return {"options": dict(self.options)} if self.options else {}


@dataclass(frozen=True)
class Step:
    """One stage of the run."""

    name: str
    kind: str
    config: Mapping[str, Any]
    needs: tuple[str, ...]
    libraries: tuple[str, ...]
    packages: tuple[str, ...]
    artifact: ArtifactPlan | None = None
