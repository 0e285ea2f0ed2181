"""The step that tells which layers of an int8 file lose how much, by files in which each is quantized alone."""

import shutil
from dataclasses import replace

from artifacts.errors import ModelError, RequestError
from artifacts.records.sensitivity import LossRecord, SensitiveLayer, SensitivityRecord
from artifacts.types import ExportedFile, TorchModel
from compress.guarding.search import Candidate
from compress.guarding.sensitivity import LayerSensitivity, Loss, Size, layer_names, noise_shares, rank, sizes, standing_out
from runtimes.registry import find
from tightship.pipeline.stages.export import file_of, made_from
from tightship.pipeline.stages.int8_trials import Int8Trials
from tightship.pipeline.stages.job import Job
from tightship.pipeline.stages.results import ExportResult, SensitivityResult
from tightship.planning.step_configs import SensitivityStep
from tightship.planning.steps import FILE

FLOAT_BYTES = 4


def sensitivity(job: Job[SensitivityStep]) -> SensitivityResult:
    """What the deployed file loses on held-out training examples, and what each layer loses when it alone is quantized.

    Raises:
        ModelError: the network has no layer that can be told to stay float, or too few training examples are left.
    """
    told, export = job.config, job.config.export
    assert export.quantizer is not None
    candidate, model = _made_by(job)
    names = layer_names(model, candidate.config.keep_float)
    if not names:
        raise ModelError(
            "sensitivity: the network has no convolution or linear layer in int8 with a weight of its own, "
            "so there is none to keep in float; leave it out."
        )
    with Int8Trials(
        model, job.data, find(told.target), export.quantizer, export.format, export.seed,
        candidate.config.calibration_samples, told.threads, job.work, job.progress, told.options, told.samples,
    ) as trials:  # fmt: skip
        record = _measure(trials, candidate, names, _copy(job))
    worst = record.layers[0]
    how = f"{len(names)} layers quantized alone on {record.examples} held-out examples"
    return SensitivityResult(f"{how}; most sensitive: {worst.layer}, {worst.sqnr_db or 0.0:.1f} dB", record)


def _made_by(job: Job[SensitivityStep]) -> tuple[Candidate, TorchModel]:
    """How the deployed file was made, and of which network: the accuracy guard chose a candidate, and may have trained."""
    model, choice = made_from(job, job.config.export), job.input(FILE, ExportResult).result.choice
    if choice is None:
        assert job.config.export.quantize is not None
        return Candidate(job.config.export.quantize), model
    # what was trained has its remedies in its weights
    return Candidate(choice.config, () if choice.trained else choice.remedies), model


def _copy(job: Job[SensitivityStep]) -> ExportedFile:
    """The deployed file where its runtime may write beside it."""
    file = file_of(job)
    folder = job.work / "deployed" / "files"
    shutil.rmtree(folder.parent, ignore_errors=True)
    shutil.copytree(file.folder, folder)
    return replace(file, folder=folder)


def _measure(trials: Int8Trials, candidate: Candidate, names: list[str], deployed: ExportedFile) -> SensitivityRecord:
    whole = trials.loss_of(deployed)
    ranked = rank(names, lambda kept: trials.lost(candidate, kept), trials.progress)
    between = _try(trials, candidate, tuple(names))
    shares = noise_shares(ranked, between)
    keep = standing_out(shares)
    kept = _try(trials, candidate, keep) if keep else None
    examples = trials.examples
    known = sizes(trials.model, examples.inputs)
    return SensitivityRecord(
        examples=len(examples.targets), metric=trials.metric.name, reference=trials.reference, whole=_record(whole),
        between_db=between.sqnr_db if between else None,
        layers=tuple(_layer(s, known[s.layer], shares.get(s.layer)) for s in ranked),
        in_float=candidate.config.keep_float, keep=keep, kept=_record(kept) if kept else None,
        unit=trials.metric.unit,
    )  # fmt: skip


def _try(trials: Int8Trials, candidate: Candidate, kept: tuple[str, ...]) -> Loss | None:
    """What is lost with these in float; none where that leaves nothing to quantize."""
    try:
        return trials.lost(candidate, kept)
    except RequestError:
        return None


def _record(loss: Loss) -> LossRecord:
    assert loss.bytes is not None
    return LossRecord(loss.sqnr_db, loss.drop, loss.error, loss.bytes)


def _layer(found: LayerSensitivity, size: Size, share: float | None) -> SensitiveLayer:
    loss = found.loss
    return SensitiveLayer(
        found.layer, size.macs, FLOAT_BYTES * size.parameters, loss.sqnr_db if loss else None, loss.drop if loss else None,
        loss.error if loss else None, share, reason=found.reason,
    )  # fmt: skip
