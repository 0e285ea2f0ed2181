"""The step that holds a deployed file against its model: parity, accuracy on the whole test set, where its layers run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from artifacts.arrays import examples_first, joined, load_arrays, save_arrays
from artifacts.json import read
from artifacts.records.evidence import PlacementRecord
from artifacts.specs import Signature
from artifacts.types import Arrays, Split
from benchmarks.parity.parity import CONVERSION, QUANTIZED, SCHEMES, SIMULATED, Case, Tolerance, at_ends, evaluate
from benchmarks.process.child import Child
from benchmarks.roofline.work import work_of
from compress.quantizers import QUANTIZERS
from tightship.pipeline.stages.export import engine_of, made_from
from tightship.pipeline.stages.invariance import invariance, notes_of
from tightship.pipeline.stages.job import Job
from tightship.pipeline.stages.reproducer import Failed, reproduce
from tightship.pipeline.stages.results import CheckResult, ExportResult
from tightship.pipeline.stages.selftest import write_selftest
from tightship.planning.step_configs import CheckStep
from tightship.planning.steps import FILE
from zoo.metrics import find
from zoo.metrics.per_class import per_class
from zoo.splits import rows_at_once

if TYPE_CHECKING:
    from torch import nn

PARITY_EXAMPLES = 256

BATCH = 256
"""Examples of one call, where the file takes so many."""

Targets = NDArray[np.generic]


def check(job: Job[CheckStep]) -> CheckResult:
    """Parity against the model it came from, accuracy on the whole test set, placement, and a self-test to ship."""

    told, entry = job.config, job.input(FILE, ExportResult)
    engine = engine_of(told.target, entry, job.out, told.options)
    signature = entry.result.signature
    with Child(engine, job.work / "child.log", told.threads) as child:
        save_arrays(job.work / "first.npz", job.data.test.batch(np.arange(1))[0])
        child.open(job.work / "first.npz")
        run = _Runner(child, job.work)
        real, outputs, targets = run_split(run, job.data.test, signature)
        cases, tolerance, against = _cases(job, real, outputs, run, signature)
        placement = read(PlacementRecord, child.ask("placement"))
        some = {name: value[:21] for name, value in real.items()}
        found = invariance(cases, some, job.data.masks, lambda given: run(given, signature.most(7)))
    metric, *others = (find(name) for name in job.data.metrics)
    at = metric.classes_at(outputs, targets)
    parity, reproducer = evaluate(cases, tolerance, against, metric.classifies, at), False
    if not parity.passed:
        parity, reproducer = reproduce(job, parity, _failed(job, real, cases, tolerance, at))
    deployed = metric.score(outputs, targets)
    further = {other.name: other.score(outputs, targets) for other in others}
    notes = write_selftest(job, real, outputs, cases[0].reference, parity, tolerance)
    right = metric.correct(outputs, targets)
    if right is not None:
        # which ones, not only how many: two artifacts can then be told apart by a paired test
        save_arrays(job.out / "correct.npz", {"correct": right.astype(np.uint8)})
    state = "parity ok" if parity.passed else f"PARITY FAILED ({parity.first_bad})"
    return CheckResult(
        f"{job.data.metric} {deployed:.4f} deployed, {state}", deployed, len(targets), parity, placement,
        work_of(made_from(job, told.export).module, real), (*notes, *notes_of(found)), reproducer, further, found,
        per_class(metric, *metric.own(outputs, targets)),
    )  # fmt: skip


class _Runner:
    """Runs arrays through a child, by way of files that do not outlive the call."""

    def __init__(self, child: Child, folder: Path) -> None:
        self.child, self.folder, self.count = child, folder, 0

    def __call__(self, inputs: Arrays, batch: int) -> Arrays:
        self.count += 1
        fed, made = self.folder / f"in-{self.count}.npz", self.folder / f"out-{self.count}.npz"
        save_arrays(fed, inputs)
        try:
            self.child.ask("run", inputs=str(fed), outputs=str(made), batch=batch)
            return load_arrays(made)
        finally:
            fed.unlink(missing_ok=True)
            made.unlink(missing_ok=True)


def run_split(run: Callable[[Arrays, int], Arrays], split: Split, signature: Signature) -> tuple[Arrays, Arrays, Targets]:
    """Run a whole split, of whose inputs about `CHUNK` bytes are in memory at a time.

    Returns:
        The inputs of the first 256 examples, the outputs of all and the targets of all, each (N, ...).
    """
    batch, count = signature.most(BATCH), len(split)
    # calls have the same examples as if all came at once
    step = batch * max(1, rows_at_once(split, most=8192) // batch)
    real = split.batch(np.arange(min(PARITY_EXAMPLES, count)))[0]
    parts: list[Arrays] = []
    targets: list[Targets] = []
    for start in range(0, count, step):
        inputs, wanted = split.batch(np.arange(start, min(start + step, count)))
        parts.append(run(inputs, batch))
        targets.append(wanted)
    # the child gives examples first, wherever they lie in its file
    specs = [spec if spec.batch_axis is None else replace(spec, batch_axis=0) for spec in signature.outputs]
    return real, joined(parts, specs), np.concatenate(targets)


def _cases(
    job: Job[CheckStep], inputs: Arrays, outputs: Arrays, run: _Runner, signature: Signature
) -> tuple[list[Case], Tolerance, str]:
    """Real examples at several batch sizes and at the ends of ranges, and made-up ones, against the file's module."""
    import torch

    quantizer = job.config.export.quantizer
    module, tolerance, against = expected_of(job)

    def reference(arrays: Arrays) -> Arrays:
        from zoo.calling import call
        from zoo.outputs import named_outputs

        with torch.no_grad():
            named = named_outputs(call(module, arrays))
        return examples_first({name: tensor.numpy() for name, tensor in named.items()}, signature.outputs)

    real = {k: v[:PARITY_EXAMPLES] for k, v in inputs.items()}
    cases = [Case("real x256", True, reference(real), {k: v[:PARITY_EXAMPLES] for k, v in outputs.items()})]
    some = {k: v[:21] for k, v in real.items()}
    expected = reference(some)
    for batch in dict.fromkeys(map(signature.most, (1, 2, 7))):
        cases.append(Case(f"real, batch {batch}", True, expected, run(some, batch)))
    made_up = _blends(real) if quantizer else _noise(real)
    name = "blends of real examples" if quantizer else "uniform noise"
    for end, fed in at_ends(real, signature):
        cases.append(Case(end, False, reference(fed), run(fed, len(next(iter(fed.values())))), fed))
    cases.append(Case(name, False, reference(made_up), run(made_up, signature.most(16))))
    return cases, tolerance, against


def expected_of(job: Job[CheckStep]) -> "tuple[nn.Module, Tolerance, str]":
    """The module that a file must compute, how closely, and what to call it."""
    from compress.qat import simulate
    from compress.quantizers.rounding import limit_of, rounded, rounds_weights, stored_limit

    export = job.config.export
    model = made_from(job, export)
    if export.scheme is None:
        return model.module.eval(), CONVERSION, "float"
    config = export.quantize
    assert config is not None
    if model.ranges:
        limit = stored_limit(export.quantizer, config)
        bits = "" if limit == limit_of(config.weight_bits) else "7-bit "
        return simulate(model, config, limit), SIMULATED, f"{bits}simulated"
    if export.quantizer and QUANTIZERS.find(export.quantizer).own_grid:
        # `rounded` does not know it
        return model.module.eval(), QUANTIZED, "float"
    tolerance = SCHEMES.get(export.scheme, QUANTIZED)
    # equalized or corrected weights are not those of the model before they are rounded
    if rounds_weights(config) and not job.input(FILE, ExportResult).result.remedied:
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
        made[name] = (
            (np.add(value[:half], value[half : 2 * half]) / 2).astype(value.dtype)[:32] if floating else value[:half][:32]
        )
    return made


def _failed(job: Job[CheckStep], inputs: Arrays, cases: list[Case], tolerance: Tolerance, at: tuple[str, int] | None) -> Failed:
    """What a parity that failed was judged by."""
    real = {k: v[:PARITY_EXAMPLES] for k, v in inputs.items()}
    return Failed(cases, tolerance, real, _blends(real) if job.config.export.quantizer else _noise(real), at)
