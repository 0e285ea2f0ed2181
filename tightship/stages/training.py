"""The steps that make or change a network: data, start, distil, prune, quantize."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from compress.configs import DistilConfig, ModelConfig, PruneConfig, QuantizeConfig, TrainConfig
from tightship.plan import DATA, REFERENCE
from tightship.stages.job import Job
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
    from compress.loop import Training, fit, task_loss

    config = job.step.config
    model = _build(job, config["model"])
    if "train" not in config:
        return _store(job, model, "loaded its weights")
    training = TrainConfig.model_validate(config["train"])
    loss = task_loss(training.label_smoothing)
    fit(model.module, loss, Training(job.data.train, training, job.recipe.seed, job.work / "state", job.progress))
    return _store(job, model, f"trained {training.epochs} epochs")


def distil(job: Job) -> Result:
    """Train the model from a teacher; a model without weights starts fresh."""
    from compress.distil import distillation_loss
    from compress.loop import Training, fit

    options = dict(job.step.config)
    fresh = options.pop("model", None)
    config = DistilConfig.model_validate(options)
    before = next((name for name in job.step.needs if name not in (DATA, REFERENCE)), REFERENCE)
    model = _build(job, fresh) if fresh else job.model(before)
    teacher = job.model(REFERENCE)
    loss = distillation_loss(teacher.module, config.kd_weight, config.temperature, config.label_smoothing)
    training = Training(job.data.train, config, job.recipe.seed + 1, job.work / "state", job.progress, model.masks)
    fit(model.module, loss, training)
    return _store(
        job,
        model,
        f"distilled {config.epochs} epochs (temperature {config.temperature:g}, kd_weight {config.kd_weight:g})",
    )


def prune_model(job: Job) -> Result:
    """Prune in steps, fine-tuning after each."""
    from compress.pruning.steps import prune

    config = PruneConfig.model_validate(job.step.config)
    before = job.model(job.step.needs[1])
    pruned = prune(before, config, job.data.train, seed=job.recipe.seed + 2, work=job.work, progress=job.progress)
    kind = "channels removed" if config.macs is not None else "weights zeroed"
    return _store(job, pruned.model, f"{kind} by {config.criterion} in {config.steps} steps", pruned.details)


def quantize(job: Job) -> Result:
    """Quantization-aware training; the network is stored folded, with its learned ranges."""
    from compress.qat import simulate, train_quantized

    config = QuantizeConfig.model_validate(job.step.config)
    before = job.model(job.step.needs[1])
    trained = train_quantized(before, config, job.data.train, seed=job.recipe.seed + 3, work=job.work, progress=job.progress)
    simulated = _accuracy(job, simulate(trained))
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
    from compress.loop import predict
    from zoo.metrics import score

    test = job.data.test
    targets = np.concatenate([test.batch(np.arange(i, min(i + 512, len(test))))[1] for i in range(0, len(test), 512)])
    return score(job.data.metric, predict(module, test), targets)
