"""The step that holds a deployed file against its model: parity, accuracy on the whole test set, where its layers run."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.arrays import load_arrays, save_arrays
from artifacts.records.evidence import ParityRecord
from artifacts.specs import Signature
from artifacts.types import Arrays
from benchmarks.parity.parity import CONVERSION, QUANTIZED, SCHEMES, SIMULATED, Case, Tolerance, at_ends, evaluate
from benchmarks.roofline.work import work_of
from benchmarks.timing.child import Child
from compress.configs import QuantizeConfig
from compress.quantizers import QUANTIZERS
from tightship.pipeline.stages.export import engine_of, made_from
from tightship.pipeline.stages.job import Job
from tightship.pipeline.stages.reproducer import Failed, reproduce
from tightship.pipeline.stages.selftest import write_selftest
from tightship.planning.steps import ArtifactPlan
from tightship.store import Result
from zoo.metrics import METRICS

PARITY_EXAMPLES = 256


def check(job: Job) -> Result:
    """Parity against the model it came from, accuracy on the whole test set, placement, and a self-test to ship."""
    artifact = job.step.artifact
    assert artifact is not None
    entry = job.inputs[f"export {artifact.id}"]
    engine = engine_of(artifact.target, entry, job.out, artifact.options)
    signature = Signature.from_json(entry.result.details["signature"])
    batch = signature.most(256)
    log = job.work / "child.log"
    with Child(engine, log, job.recipe.measure.threads) as child:
        test_inputs, targets = _whole(job)
        save_arrays(job.work / "first.npz", {k: v[:1] for k, v in test_inputs.items()})
        child.open(job.work / "first.npz")
        run = _Runner(child, job.work)
        outputs = run(test_inputs, batch)
        cases, tolerance, against = _cases(job, test_inputs, outputs, run, signature)
        placement = child.ask("placement")
    metric = METRICS.find(job.data.metric)
    parity = evaluate(cases, tolerance, against, metric.classifies)
    if not parity.passed:
        parity = _locate(job, parity, test_inputs, cases, tolerance)
    deployed = metric.score(outputs, targets)
    notes = write_selftest(job, test_inputs, outputs, cases[0].reference, parity, tolerance)
    right = metric.correct(outputs, targets)
    if right is not None:
        # which ones, not only how many: two artifacts can then be told apart by a paired test
        save_arrays(job.out / "correct.npz", {"correct": right.astype(np.uint8)})
    work = asdict(work_of(made_from(job, artifact).module, test_inputs))
    details = {"parity": asdict(parity), "placement": placement, "examples": len(targets), "work": work}
    details |= {"notes": list(notes)} if notes else {}
    state = "parity ok" if parity.passed else f"PARITY FAILED ({parity.first_bad})"
    return Result(f"{job.data.metric} {deployed:.4f} deployed, {state}", {"accuracy": deployed}, details)


class _Runner:
    """Runs arrays through a child, by way of files."""

    def __init__(self, child: Child, folder: Path) -> None:
        self.child, self.folder, self.count = child, folder, 0

    def __call__(self, inputs: Arrays, batch: int) -> Arrays:
        self.count += 1
        fed, made = self.folder / f"in-{self.count}.npz", self.folder / f"out-{self.count}.npz"
        save_arrays(fed, inputs)
        self.child.ask("run", inputs=str(fed), outputs=str(made), batch=batch)
        return load_arrays(made)


def _whole(job: Job) -> tuple[Arrays, Any]:
    test = job.data.test
    parts = [test.batch(np.arange(i, min(i + 512, len(test)))) for i in range(0, len(test), 512)]
    inputs = {name: np.concatenate([p[0][name] for p in parts]) for name in parts[0][0]}
    return inputs, np.concatenate([p[1] for p in parts])


def _cases(job: Job, inputs: Arrays, outputs: Arrays, run: _Runner, signature: Signature) -> tuple[list[Case], Tolerance, str]:
    """Real examples at several batch sizes and at the ends of ranges, and made-up ones, against the file's module."""
    import torch

    artifact = job.step.artifact
    assert artifact is not None
    module, tolerance, against = _yardstick(job, artifact)

    def reference(arrays: Arrays) -> Arrays:
        from zoo.models import named_outputs

        with torch.no_grad():
            named = named_outputs(module(*(torch.from_numpy(a) for a in arrays.values())))
        return {name: tensor.numpy() for name, tensor in named.items()}

    real = {k: v[:PARITY_EXAMPLES] for k, v in inputs.items()}
    cases = [Case("real x256", True, reference(real), {k: v[:PARITY_EXAMPLES] for k, v in outputs.items()})]
    some = {k: v[:21] for k, v in real.items()}
    expected = reference(some)
    for batch in dict.fromkeys(map(signature.most, (1, 2, 7))):
        cases.append(Case(f"real, batch {batch}", True, expected, run(some, batch)))
    made_up = _blends(real) if artifact.quantizer else _noise(real)
    name = "blends of real examples" if artifact.quantizer else "uniform noise"
    for end, fed in at_ends(real, signature):
        cases.append(Case(end, False, reference(fed), run(fed, len(next(iter(fed.values())))), fed))
    cases.append(Case(name, False, reference(made_up), run(made_up, signature.most(16))))
    return cases, tolerance, against


def _yardstick(job: Job, artifact: ArtifactPlan) -> tuple[Any, Tolerance, str]:
    """The module that a file must compute, how closely, and what to call it."""
    from compress.qat import simulate
    from compress.quantizers.rounding import limit_of, rounded, rounds_weights, stored_limit

    model = made_from(job, artifact)
    if artifact.scheme is None:
        return model.module.eval(), CONVERSION, "float"
    config = job.recipe.stage("quantize")
    assert isinstance(config, QuantizeConfig)
    config = config.model_copy(update={"scheme": artifact.scheme})
    if model.ranges:
        limit = stored_limit(artifact.quantizer, config)
        bits = "" if limit == limit_of(config.weight_bits) else "7-bit "
        return simulate(model, config, limit), SIMULATED, f"{bits}simulated"
    if artifact.quantizer and QUANTIZERS.find(artifact.quantizer).own_grid:
        # `rounded` does not know it
        return model.module.eval(), QUANTIZED, "float"
    tolerance = SCHEMES.get(artifact.scheme, QUANTIZED)
    # equalized or corrected weights are not those of the model before they are rounded
    remedied = job.inputs[f"export {artifact.id}"].result.details.get("remedied", False)
    if rounds_weights(config) and not remedied:
        return rounded(model, config), tolerance, "rounded weights"
    return model.module.eval(), tolerance, "float"


def _noise(real: Arrays) -> Arrays:
    generator = np.random.default_rng(0)
    made = {}
    for name, value in real.items():
        if np.issubdtype(value.dtype, np.floating):
            made[name] = generator.uniform(value.min(), value.max(), value[:32].shape).astype(value.dtype)
        else:
            made[name] = generator.permutation(value[:32])
    return made


def _blends(real: Arrays) -> Arrays:
    """Mixtures of two real examples: unseen, yet inside the ranges that calibration saw."""
    made = {}
    for name, value in real.items():
        half = len(value) // 2
        floating = np.issubdtype(value.dtype, np.floating)
        made[name] = ((value[:half] + value[half : 2 * half]) / 2).astype(value.dtype)[:32] if floating else value[:half][:32]
    return made


def _locate(job: Job, parity: ParityRecord, inputs: Arrays, cases: list[Case], tolerance: Tolerance) -> ParityRecord:
    """The failed parity with where the file diverges, and with a folder that shows it."""
    artifact = job.step.artifact
    assert artifact is not None
    real = {k: v[:PARITY_EXAMPLES] for k, v in inputs.items()}
    made_up = _blends(real) if artifact.quantizer else _noise(real)
    return reproduce(job, parity, Failed(cases, tolerance, real, made_up))
