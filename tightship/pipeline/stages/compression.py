"""The steps that make or change a network: data, start, distil, prune, quantize."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from compress.configs import (
    DistilConfig,
    FactorizeConfig,
    ModelConfig,
    PalettizeConfig,
    PruneConfig,
    QuantizeConfig,
    TrainConfig,
)
from runtimes.registry import find
from tightship.pipeline.stages.job import Job
from tightship.store import Result


def describe_data(job: Job) -> Result:
    """Write down what the data set is, so that later runs need not load it."""
    data = job.data
    details = {
        "name": data.name,
        "train": len(data.train),
        "test": len(data.test),
        "metric": data.metric,
        "labels": list(data.labels) if data.labels else None,
        "preprocessing": asdict(data.preprocessing) if data.preprocessing else None,
        "inputs": [asdict(s) for s in data.inputs],
        "test_sha256": data.test.fingerprint(),
    }
    return Result(f"{data.name}: {len(data.train):,} training and {len(data.test):,} test examples", {}, details)


def start(job: Job) -> Result:
    """The network as it comes: with its weights, or trained from scratch."""
    from compress.training.loop import Training, fit, task_loss

    config = job.step.config
    model = _build(job, config["model"])
    if "train" not in config:
        return _store(job, model, "loaded its weights")
    training = TrainConfig.model_validate(config["train"])
    loss = task_loss(training.label_smoothing)
    fit(model.module, loss, Training(job.data.train, training, job.recipe.seed, job.work / "state", job.progress))
    return _store(job, model, f"trained {training.epochs} epochs")


def distil(job: Job) -> Result:
    """Train the model from its teachers; a model without weights starts fresh."""
    from compress.distillation.distil import distillation_objective
    from compress.training.devices import resolved
    from compress.training.loop import Training, fit, subset, tensors

    options = dict(job.step.config)
    fresh, taught_by = options.pop("model", None), options.pop("taught_by")
    config = DistilConfig.model_validate(options)
    model = _build(job, fresh) if fresh else job.model(job.step.needs[1])
    teachers = [_teacher(job, teacher) for teacher in taught_by]
    seed, state = job.recipe.seed + 1, job.work / "state"
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
    return _store(job, model, f"distilled {config.epochs} epochs ({how})")


def _teacher(job: Job, named: Mapping[str, Any]) -> Any:
    from compress.distillation.distil import Network, Teacher, open_file

    run = open_file(Path(named["file"])) if "file" in named else Network(job.model(named["step"]).module)
    return Teacher(run, float(named["weight"]))


def prune_model(job: Job) -> Result:
    """Prune in steps, fine-tuning after each."""
    from compress.pruning.steps import prune

    options = dict(job.step.config)
    timed = options.pop("timed", {})
    config = PruneConfig.model_validate(options)
    before = job.model(job.step.needs[1])
    if config.latency is not None or config.blocks is not None:
        return _prune_blocks(job, before, config, timed)
    pruned = prune(before, config, job.data.train, seed=job.recipe.seed + 2, work=job.work, progress=job.progress)
    kind = "weights zeroed" if config.zeroes_weights else "channels removed"
    return _store(job, pruned.model, f"{kind} by {config.criterion} in {config.steps} steps", pruned.details.as_json())


def factorize_model(job: Job) -> Result:
    """Split layers into pairs of lower rank, then fine-tune."""
    from compress.factorization.factorize import factorize

    options = dict(job.step.config)
    timed = options.pop("timed", {})
    config = FactorizeConfig.model_validate(options)
    before = job.model(job.step.needs[1])
    measured = None
    if config.latency_target is not None:
        precision = "int8" if job.recipe.stage("quantize") and find(config.latency_target).quantizer else "fp32"
        latency = _latency(job, before, config.latency_target, precision, timed)
        measured = latency.of
    made = factorize(
        before, config, job.data.train, seed=job.recipe.seed + 4, work=job.work, progress=job.progress, measured=measured
    )
    return _store(job, made.model, f"{len(made.details.layers)} layers split into pairs of lower rank", made.details.as_json())


def palettize_model(job: Job) -> Result:
    """Give weights few values each, training them so."""
    from compress.palettization.palettes import palettize

    config = PalettizeConfig.model_validate(job.step.config)
    before = job.model(job.step.needs[1])
    made = palettize(before, config, job.data.train, seed=job.recipe.seed + 5, work=job.work, progress=job.progress)
    kind = f"palettes of {2**config.width}" if config.kind == "kmeans" else config.kind
    return _store(job, made.model, f"weights of {len(made.model.palettes)} layers {kind}", made.details.as_json())


def _prune_blocks(job: Job, before: Any, config: PruneConfig, timed: Mapping[str, Any]) -> Result:
    from compress.pruning.latency.prune import prune_blocks

    relative, split, seed = None, job.data.train, job.recipe.seed + 2
    if config.target is not None:
        relative = _latency(job, before, config.target, config.latency_precision, timed)
    pruned = prune_blocks(before, config, split, seed=seed, relative=relative, work=job.work, progress=job.progress)
    kept = len(pruned.details.kept_blocks or ())
    return _store(job, pruned.model, f"{kept} blocks kept that could have left", pruned.details.as_json())


def _latency(job: Job, start: Any, target: str, precision: str, timed: Mapping[str, Any]) -> Any:
    """What measures networks beside `start` on a target."""
    from tightship.pipeline.deployed_latency import DeployedLatency

    memory, work = job.shared.store / "costs", job.work / "costs"
    machine, threads, options = timed["machine"], timed["threads"], timed["options"]
    return DeployedLatency(start, find(target), precision, job.data.train, machine, threads, options, memory, work)


def quantize(job: Job) -> Result:
    """Quantization-aware training; the network is stored folded, with its learned ranges."""
    from compress.qat import simulate, train_quantized

    config = QuantizeConfig.model_validate(job.step.config)
    before = job.model(job.step.needs[1])
    trained = train_quantized(before, config, job.data.train, seed=job.recipe.seed + 3, work=job.work, progress=job.progress)
    simulated = _accuracy(job, simulate(trained, config))
    details = {"ranges": len(trained.ranges)}
    done = f"int8 QAT {config.qat_epochs} epochs, {len(trained.ranges)} ranges learned"
    # what the float weights alone would score is never deployed; the simulated figure is the stage's own
    return _store(job, trained, done, details, simulated)


def _build(job: Job, config: Mapping[str, Any]) -> Any:
    import torch

    from artifacts.types import TorchModel
    from zoo.models import build, complete, load_weights, trace_signature

    extra = {k: v for k, v in config.items() if not k.endswith("_sha256")}
    wanted = ModelConfig.model_validate(extra)
    ref = complete(wanted.ref(), job.data)
    torch.manual_seed(job.recipe.seed)
    module = build(ref)
    if wanted.weights is not None:
        load_weights(module, wanted.weights)
    return TorchModel(module.eval(), ref, trace_signature(module, job.data))


def _store(job: Job, model: Any, done: str, details: Mapping[str, Any] | None = None, simulated: float | None = None) -> Result:
    from compress import checkpoint
    from compress.counting import count

    checkpoint.save(model, job.out)
    example = job.data.train.batch(np.arange(2))[0]
    accuracy = _accuracy(job, model.module) if simulated is None else simulated
    metrics = {**count(model.module, example), "accuracy": accuracy}
    if simulated is not None:
        metrics["accuracy_simulated"] = simulated
    summary = (
        f"{done}: {job.data.metric} {metrics['accuracy']:.4f}, {metrics['parameters']:,.0f} parameters, "
        f"{metrics['macs'] / 1e6:.2f} MMACs"
    )
    if metrics["sparsity"] > 0.01:
        summary += f", {metrics['sparsity']:.1%} zeros"
    return Result(summary, metrics, details or {})


def _accuracy(job: Job, module: Any) -> float:
    from compress.training.loop import predict
    from zoo.metrics import score

    test = job.data.test
    targets = np.concatenate([test.batch(np.arange(i, min(i + 512, len(test))))[1] for i in range(0, len(test), 512)])
    return score(job.data.metric, predict(module, test), targets)
