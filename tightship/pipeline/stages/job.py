"""What every stage is given."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tightship.planning.steps import Step
from tightship.recipe.recipe import Recipe
from tightship.store import Entry
from zoo.data import load_data
from zoo.splits import TaskData

if TYPE_CHECKING:
    from artifacts.types import TorchModel


FILES = ("export", "convert", "guard", "check", "sensitivity")
"""Kinds of steps that make or open files: the ranges of dynamic dimensions are theirs, the network's training knows none."""


@dataclass(frozen=True)
class Job:
    """One step of one run, with the results it builds on."""

    recipe: Recipe
    step: Step
    inputs: Mapping[str, Entry]
    out: Path
    """An empty folder for the step's files."""
    work: Path
    """A folder that outlives a crash."""
    shared: "Shared"
    progress: Callable[[float, str], None]

    @property
    def data(self) -> TaskData:
        """The task's data, loaded once a run."""
        return self.shared.data

    def model(self, step: str) -> "TorchModel":
        """The network that an earlier step stored, with what the recipe says of its export."""
        from artifacts.types import OnnxForm
        from compress import checkpoint

        stored, said = checkpoint.load(self.inputs[step].folder), self.recipe.export
        signature = said.signature(stored.signature) if self.step.kind in FILES else stored.signature
        form = OnnxForm(said.onnx.opset, said.onnx.sidecar, self._metadata() if self.step.kind in FILES else {})
        script = said.torchscript.script
        return replace(stored, signature=signature, operators=said.onnx.operators, onnx=form, scripted=script)

    def _metadata(self) -> dict[str, str]:
        """What ONNX files say of the task: how their input is made, and what their classes are called."""
        if not self.recipe.export.onnx.metadata:
            return {}
        labels, preprocessing = self.data.labels, self.data.preprocessing
        said = {"labels": labels, "preprocessing": asdict(preprocessing) if preprocessing else None}
        return {f"tightship.{key}": json.dumps(value) for key, value in said.items() if value}


@dataclass
class Shared:
    """What the steps of one run share."""

    recipe: Recipe
    store: Path
    """Where the store is: steps remember there what they measured beside their result."""

    @cached_property
    def data(self) -> TaskData:
        """The task's data."""
        return load_data(self.recipe.data.ref())
