"""The steps that make a deployed file, and how that file is found and opened afterwards."""

import tempfile
from dataclasses import replace
from pathlib import Path

from artifacts.files import walk
from artifacts.types import Engine, ExportedFile, TorchModel
from compress.quantizers import QUANTIZERS, Calibration
from export.registry import FORMATS
from runtimes.registry import find
from tightship.pipeline.stages.job import Job
from tightship.pipeline.stages.results import ExportResult
from tightship.planning.step_configs import ExportStep, GuardStep, OptionValues, StepConfig
from tightship.planning.steps import FILE
from tightship.store import Entry


def export(job: Job[ExportStep]) -> ExportResult:
    """Write the file of one artifact, quantized as its target wants it."""
    from tightship.pipeline.stages.exported_network import network_to_export

    folder = job.out / "files"
    folder.mkdir()
    file = written(job, job.config, network_to_export(job, job.config.export), folder)
    return result_of(as_shipped(job.config, file))


def as_shipped(config: ExportStep, file: ExportedFile) -> ExportedFile:
    """The file as the recipe and the target's options want it shipped, in the folder that it lies in."""
    if config.rewrite is None:
        return FORMATS.find(file.format).lay_weights_beside(file) if config.export.onnx.sidecar else file
    options = find(config.rewrite.target).read_options(config.rewrite.options)
    with tempfile.TemporaryDirectory(dir=file.folder.parent) as work:
        plain = Path(work) / "plain"
        file.folder.rename(plain)
        file.folder.mkdir()
        return options.rewrite(replace(file, folder=plain), file.folder)


def written(job: Job[StepConfig], config: ExportStep, model: TorchModel, folder: Path) -> ExportedFile:
    """The file of `model` in an empty folder, quantized as its target wants it."""
    write = FORMATS.find(config.format).load()
    job.progress(0.0, "writing the file")
    if config.quantizer is None:
        return write(model, folder)
    assert config.quantize is not None
    quantizer = QUANTIZERS.find(config.quantizer)
    calibration = Calibration(job.data.train, config.quantize, config.seed, model)
    if quantizer.works_on == "module":
        file = write(replace(model, module=quantizer.load()(calibration)), folder)
        return replace(file, precision=config.scheme or "int8")
    plain = job.work / "float"
    plain.mkdir(exist_ok=True)
    float_file = write(model, plain)
    job.progress(0.5, "quantizing it")
    made: ExportedFile = quantizer.load()(float_file, folder, calibration)
    return made


def export_guarded(job: Job[GuardStep]) -> ExportResult:
    """The file that the accuracy guard settles on."""
    # it needs torch, which a run that finds all in the store does not
    from tightship.pipeline.stages.accuracy_guard import guard

    found = guard(job)
    shipped = as_shipped(job.config, exported_file(found, job.out))
    size = float(sum(path.stat().st_size for _, path in walk(shipped.folder)))
    return replace(found, bytes=size, main=shipped.main, format=shipped.format, notes=shipped.notes)


def result_of(file: ExportedFile) -> ExportResult:
    """What an export step says of the file that it wrote."""
    sizes = [path.stat().st_size for _, path in walk(file.folder)]
    summary = f"{file.format} {file.precision}: {sum(sizes):,} bytes in {len(sizes)} files"
    return ExportResult(summary, float(sum(sizes)), file.format, file.main, file.signature, file.notes)


def exported_file(result: ExportResult, folder: Path) -> ExportedFile:
    """The file that an export step wrote into its folder."""
    return ExportedFile(result.format, folder / "files", result.main, result.signature, notes=result.notes)


def file_of(job: Job[StepConfig]) -> ExportedFile:
    """The file that a step is about."""
    entry = job.input(FILE, ExportResult)
    return exported_file(entry.result, entry.folder)


def engine_of(target: str, entry: Entry[ExportResult], folder: Path, options: OptionValues) -> Engine:
    """What the target's runtime opens, and how; built in `folder` where the runtime builds anything."""
    engine = find(target).runtime().build(exported_file(entry.result, entry.folder), folder)
    return replace(engine, options={**engine.options, **options})


def made_from(job: Job[StepConfig], config: ExportStep) -> TorchModel:
    """The network that a file was made from: the accuracy guard keeps one of its own where it trained."""
    from compress import checkpoint
    from tightship.pipeline.stages.exported_network import network_to_export

    own = job.input(FILE, ExportResult).folder / "model"
    return checkpoint.load(own) if own.is_dir() else network_to_export(job, config.export)
