"""A stored network with what the recipe says of its files."""

import json
from dataclasses import asdict, replace

from artifacts.types import OnnxForm, TorchModel
from tightship.pipeline.stages.job import Job
from tightship.planning.step_configs import StepConfig
from tightship.recipe.sections import ExportConfig
from zoo.splits import TaskData


def as_exported(stored: TorchModel, export: ExportConfig, metadata: dict[str, str] | None = None) -> TorchModel:
    """The network with the dynamic dimensions, operators and ONNX form of its files."""
    form = OnnxForm(export.onnx.opset, export.onnx.sidecar, metadata or {})
    signature, scripted = export.signature(stored.signature), export.torchscript.script
    return replace(stored, signature=signature, operators=export.onnx.operators, onnx=form, scripted=scripted)


def network_to_export(job: Job[StepConfig], export: ExportConfig) -> TorchModel:
    """The network that a file is made from."""
    return as_exported(job.network(), export, metadata_of(job.data) if export.onnx.metadata else {})


def metadata_of(data: TaskData) -> dict[str, str]:
    """What ONNX files say of the task: how their input is made, and what their classes are called."""
    labels, preprocessing = data.labels, data.preprocessing
    told = {"labels": labels, "preprocessing": asdict(preprocessing) if preprocessing else None}
    return {f"tightship.{key}": json.dumps(value) for key, value in told.items() if value}
