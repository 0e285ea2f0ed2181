"""The steps that make or change a network: data, start, distil, prune, factorize, palettize, quantize."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from artifacts.files import write_atomic
from compress.configs import DistilConfig, PruneConfig, TrainConfig
from runtimes.registry import find
from tightship.pipeline.stages.job import Job
from tightship.pipeline.stages.results import DataResult, Details, NetworkResult
from tightship.planning.step_configs import (
    DataStep,
    DistilStep,
    FactorizeStep,
    LatencySource,
    NetworkSource,
    PalettizeStep,
    PruneStep,
    QatStep,
    StartStep,
    StepConfig,
    Taught,
)

if TYPE_CHECKING:
    from torch import nn

    from artifacts.types import TorchModel
    from compress.distillation.distil import Teacher
    from tightship.pipeline.deployed_latency import DeployedLatency


ENCODING = "encoding.json"
"""The file beside the data's description, in a run's folder and in a bundle: how rows of a table become inputs."""


def describe_data(job: Job[DataStep]) -> DataResult:
    """Write down what the data set is, so that later runs need not load it."""
    data = job.data
    if data.encoding is not None:
        write_atomic(job.out / ENCODING, json.dumps(data.encoding, indent=1) + "\n")
    return DataResult(
        summary=f"{data.name}: {len(data.train):,} training and {len(data.test):,} test examples",
        name=data.name, train=len(data.train), test=len(data.test), metric=data.metric, labels=data.labels,
        preprocessing=data.preprocessing, inputs=data.inputs, test_sha256=data.test.fingerprint(),
        further=data.further, labelled=data.labelled,
    )  # fmt: skip


def start(job: Job[StartStep]) -> NetworkResult:
    """The network as it comes: with its weights, or trained from scratch."""
    from compress.training.loop import Training, fit, task_loss

    if job.config.train is None:
        return _stored(job, _build(job, job.config.source, job.config.seed), "loaded its weights")
    model, training = untrained(job, job.config)
    loss = task_loss(training.label_smoothing, training.loss)
    fit(model.module, loss, Training(job.data.train, training, job.config.seed, job.work / "state", job.progress))
    return _stored(job, model, f"trained {training.epochs} epochs")


def untrained(job: Job[StepConfig], told: StartStep) -> "tuple[TorchModel, TrainConfig]":
    """The network that a `start` step trains from scratch, and how."""
    assert told.train is not None
    return _build(job, told.source, told.seed), told.train


def distil(job: Job[DistilStep]) -> NetworkResult:
    """Train the model from its teachers; a model without weights starts fresh."""
    from compress.distillation.distil import distillation_objective
    from compress.training.devices import resolved
    from compress.training.loop import Training, fit, subset, tensors

    model, config, teachers = student(job, job.config)
    seed, state = job.config.seed + 1, job.work / "state"
    example, _ = tensors(job.data.train, subset(job.data.train, 2, seed))
    with distillation_objective(model.module, teachers, config, example, seed) as (loss, extra):
        training = Training(job.data.train, config, seed, state, job.progress, model.masks, extra=extra)
        fit(model.module, loss, training)
    how = f"temperature {config.temperature:g}, kd_weight {config.kd_weight:g}"
    if config.method != "logits":
        how += f", {config.method} of {len(config.layers)} layers"
    if len(teachers) > 1:
        how += f", {len(teachers)} teachers"
    if config.precision == "auto":
        how += f", {resolved(config.precision)}"
    return _stored(job, model, f"distilled {config.epochs} epochs ({how})")


def student(job: Job[StepConfig], told: DistilStep) -> "tuple[TorchModel, DistilConfig, list[Teacher]]":
    """The network that a `distil` step trains, how, and its teachers."""
    model = _build(job, told.fresh, told.seed) if told.fresh else job.network()
    return model, told.config, [_teacher(job, teacher) for teacher in told.teachers]


def _teacher(job: Job[StepConfig], taught: Taught) -> "Teacher":
    from compress.distillation.distil import Network, Teacher, open_file

    if taught.file is not None:
        return Teacher(open_file(Path(taught.file)), taught.weight)
    assert taught.input is not None
    return Teacher(Network(job.network(taught.input).module), taught.weight)


def prune_model(job: Job[PruneStep]) -> NetworkResult:
    """Prune in steps, fine-tuning after each."""
    from compress.pruning.steps import prune

    config, before = job.config.config, job.network()
    if config.latency is not None or config.blocks is not None:
        return _prune_blocks(job, before, config)
    pruned = prune(before, config, job.data.train, seed=job.config.seed + 2, work=job.work, progress=job.progress)
    kind = "weights zeroed" if config.zeroes_weights else "channels removed"
    done = f"{kind} by {config.criterion} in {config.steps} steps"
    return _stored(job, pruned.model, done, pruned.details.as_json())


def _prune_blocks(job: Job[PruneStep], before: "TorchModel", config: PruneConfig) -> NetworkResult:
    from compress.pruning.latency.prune import prune_blocks

    relative, split, seed = _latency(job, before, job.config.latency), job.data.train, job.config.seed + 2
    pruned = prune_blocks(before, config, split, seed=seed, relative=relative, work=job.work, progress=job.progress)
    kept = len(pruned.details.kept_blocks or ())
    return _stored(job, pruned.model, f"{kept} blocks kept that could have left", pruned.details.as_json())


def factorize_model(job: Job[FactorizeStep]) -> NetworkResult:
    """Split layers into pairs of lower rank, then fine-tune."""
    from compress.factorization.factorize import factorize

    config, before, split, seed = job.config.config, job.network(), job.data.train, job.config.seed + 4
    latency = _latency(job, before, job.config.latency)
    measured = latency.of if latency else None
    made = factorize(before, config, split, seed=seed, work=job.work, progress=job.progress, measured=measured)
    done = f"{len(made.details.layers)} layers split into pairs of lower rank"
    return _stored(job, made.model, done, made.details.as_json())


def palettize_model(job: Job[PalettizeStep]) -> NetworkResult:
    """Give weights few values each, training them so."""
    from compress.palettization.palettes import palettize

    config, seed = job.config.config, job.config.seed + 5
    made = palettize(job.network(), config, job.data.train, seed=seed, work=job.work, progress=job.progress)
    kind = f"palettes of {2**config.width}" if config.kind == "kmeans" else config.kind
    done = f"weights of {len(made.model.palettes)} layers {kind}"
    return _stored(job, made.model, done, made.details.as_json())


def _latency(job: Job[StepConfig], start: "TorchModel", source: LatencySource | None) -> "DeployedLatency | None":
    """What measures networks beside `start` on a target."""
    if source is None:
        return None
    from tightship.pipeline.deployed_latency import DeployedLatency
    from tightship.pipeline.stages.exported_network import as_exported

    start = as_exported(start, source.export)
    return DeployedLatency(
        start, find(source.target), source.precision, job.data.train, source.machine, source.threads, source.options,
        source.operators_sha256, job.memory / "costs", job.work / "costs",
    )  # fmt: skip


def quantize(job: Job[QatStep]) -> NetworkResult:
    """Quantization-aware training; the network is stored folded, with its learned ranges."""
    from compress.qat import simulate, train_quantized

    config, seed = job.config.config, job.config.seed + 3
    trained = train_quantized(job.network(), config, job.data.train, seed=seed, work=job.work, progress=job.progress)
    simulated = _scores(job, trained, simulate(trained, config))
    done = f"int8 QAT {config.qat_epochs} epochs, {len(trained.ranges)} ranges learned"
    # what the float weights alone would score is never deployed; the simulated figure is the stage's own
    return _stored(job, trained, done, {"ranges": len(trained.ranges)}, simulated)


def _build(job: Job[StepConfig], source: NetworkSource, seed: int) -> "TorchModel":
    import torch

    from artifacts.types import TorchModel
    from zoo.calling import by_place
    from zoo.models import build, complete, load_weights
    from zoo.signatures import trace_signature
    from zoo.targets import hold

    ref = complete(source.network.ref(), job.data)
    torch.manual_seed(seed)
    module = by_place(build(ref), [spec.name for spec in job.data.inputs])
    if source.network.weights is not None:
        load_weights(module, source.network.weights)
    signature = trace_signature(module, job.data)
    hold(job.data, signature)
    return TorchModel(module.eval(), ref, signature)


def _stored(
    job: Job[StepConfig],
    model: "TorchModel",
    done: str,
    method: Details | None = None,
    simulated: Mapping[str, float] | None = None,
) -> NetworkResult:
    from compress import checkpoint
    from compress.counting import count_all

    checkpoint.save(model, job.out)
    found, uncounted = count_all(model.module, job.data.train.batch(np.arange(2))[0])
    further = dict(_scores(job, model, model.module) if simulated is None else simulated)
    accuracy = further.pop(job.data.metric)
    macs = f"{found['macs'] / 1e6:.2f} MMACs"
    if uncounted:
        macs = f"{f'over {macs}' if found['macs'] else 'unknown MACs'} ({', '.join(uncounted)} not counted)"
    summary = f"{done}: {job.data.metric} {accuracy:.4f}, {found['parameters']:,.0f} parameters, {macs}"
    if found["sparsity"] > 0.01:
        summary += f", {found['sparsity']:.1%} zeros"
    weighs = found["parameters"], found["macs"], found["bytes"], found["sparsity"]
    return NetworkResult(
        summary, accuracy, *weighs, accuracy_simulated=None if simulated is None else accuracy, method=method or {},
        further=further, uncounted=uncounted,
    )  # fmt: skip


def _scores(job: Job[StepConfig], model: "TorchModel", module: "nn.Module") -> dict[str, float]:
    """Every metric of the task by name; without targets a network that nothing is compared with yet is its own reference."""
    from compress.training.loop import predict_all
    from zoo.metrics import find
    from zoo.targets import targets_of
    from zoo.unlabelled import answered

    data = job.data if job.has_targets else answered(job.data, module, model.signature.outputs)
    outputs, targets = predict_all(module, data.test, specs=model.signature.outputs), targets_of(data.test)
    return {name: find(name).score(outputs, targets) for name in data.metrics}
