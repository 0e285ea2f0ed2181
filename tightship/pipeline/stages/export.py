"""The steps that make a deployed file, and how that file is found and opened afterwards."""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from artifacts.files import walk
from artifacts.specs import Signature
from artifacts.types import Engine, ExportedFile, TorchModel
from compress.configs import QuantizeConfig
from compress.quantizers import QUANTIZERS, Calibration
from export.registry import FORMATS
from runtimes.registry import find
from tightship.pipeline.stages.job import Job
from tightship.planning.steps import ArtifactPlan
from tightship.store import Entry, Result


def export(job: Job) -> Result:
    """Write the file of one artifact, quantized as its target wants it."""
    artifact = job.step.artifact
    assert artifact is not None
    folder = job.out / "files"
    folder.mkdir()
    return _exported(_as_shipped(job, artifact, written(job, artifact, job.model(artifact.source), folder)))


def _as_shipped(job: Job, artifact: ArtifactPlan, file: ExportedFile) -> ExportedFile:
    """The file as the recipe and the target's options want it shipped, in the folder that it lies in."""
    options = find(artifact.target).read_options(artifact.options)
    if not options.of_the_file:
        return FORMATS.find(file.format).lay_weights_beside(file) if job.recipe.export.onnx.sidecar else file
    with tempfile.TemporaryDirectory(dir=file.folder.parent) as work:
        plain = Path(work) / "plain"
        file.folder.rename(plain)
        file.folder.mkdir()
        return options.rewrite(replace(file, folder=plain), file.folder)


def written(job: Job, artifact: ArtifactPlan, model: TorchModel, folder: Path) -> ExportedFile:
    """The file of an artifact made from `model`, in an empty folder, quantized as its target wants it."""
    write = FORMATS.find(artifact.format).load()
    if artifact.quantizer is None:
        return write(model, folder)
    config = job.recipe.stage("quantize")
    assert isinstance(config, QuantizeConfig)
    config = config.model_copy(update={"scheme": artifact.scheme})
    quantizer = QUANTIZERS[artifact.quantizer]
    calibration = Calibration(job.data.train, config, job.recipe.seed, model)
    if quantizer.works_on == "module":
        file = write(replace(model, module=quantizer.load()(calibration)), folder)
        return replace(file, precision=artifact.scheme or "int8")
    plain = job.work / "float"
    plain.mkdir(exist_ok=True)
    made: ExportedFile = quantizer.load()(write(model, plain), folder, calibration)
    return made


def export_guarded(job: Job) -> Result:
    """The file that the accuracy guard settles on."""
    from tightship.pipeline.stages.accuracy_guard import (
        guard,  # it needs torch, which a run that finds all in the store does not
    )

    artifact, found = job.step.artifact, guard(job)
    assert artifact is not None
    shipped = _as_shipped(job, artifact, _file_of(found, job.out))
    size = float(sum(p.stat().st_size for p in shipped.folder.iterdir()))
    details = {**found.details, "main": shipped.main, "format": shipped.format, "notes": list(shipped.notes)}
    return replace(found, metrics={**found.metrics, "bytes": size}, details=details)


def _exported(file: ExportedFile) -> Result:
    sizes = [path.stat().st_size for _, path in walk(file.folder)]
    total = sum(sizes)
    details = {"main": file.main, "format": file.format, "signature": asdict(file.signature), "notes": list(file.notes)}
    return Result(f"{file.format} {file.precision}: {total:,} bytes in {len(sizes)} files", {"bytes": float(total)}, details)


def exported_file(entry: Entry) -> ExportedFile:
    """The file that an export step wrote."""
    return _file_of(entry.result, entry.folder)


def _file_of(result: Result, folder: Path) -> ExportedFile:
    details = result.details
    signature = Signature.from_json(details["signature"])
    return ExportedFile(details["format"], folder / "files", details["main"], signature, notes=tuple(details["notes"]))


def engine_of(target: str, entry: Entry, folder: Path, options: Mapping[str, Any]) -> Engine:
    """What the target's runtime opens, and how; built in `folder` where the runtime builds anything."""
    engine = find(target).runtime().build(exported_file(entry), folder)
    return replace(engine, options={**engine.options, **options})


def made_from(job: Job, artifact: ArtifactPlan) -> TorchModel:
    """The network that an artifact was made from: the accuracy guard keeps one of its own where it trained."""
    from compress import checkpoint

    own = job.inputs[f"export {artifact.id}"].folder / "model"
    return checkpoint.load(own) if own.is_dir() else job.model(artifact.source)
