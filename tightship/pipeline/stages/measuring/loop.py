"""The step that calls a file in a loop: steps per second, and how far it drifts from the reference's own loop."""

from typing import TYPE_CHECKING

import numpy as np

from artifacts.arrays import examples_first, load_arrays, save_arrays
from artifacts.errors import ModelError, nearest
from artifacts.records.loop import LoopRecord
from artifacts.records.measured import bounds_of
from artifacts.specs import Signature
from artifacts.types import Array, Arrays
from benchmarks.process.child import Child
from benchmarks.process.loop import Loop, unroll
from benchmarks.timing.statistics import interval
from tightship.pipeline.stages.export import engine_of
from tightship.pipeline.stages.job import Job
from tightship.pipeline.stages.measuring.results import LoopResult
from tightship.pipeline.stages.results import ExportResult
from tightship.planning.step_configs import LoopStep
from tightship.planning.steps import FILE, REFERENCE

if TYPE_CHECKING:
    from artifacts.types import TorchModel


def run_loops(job: Job[LoopStep]) -> LoopResult:
    """Time loops of one example in processes of their own, and hold the loops of several against the reference's.

    Raises:
        ModelError: the loop feeds or watches what there is not.
    """
    told, entry = job.config, job.input(FILE, ExportResult)
    signature, loop = entry.result.signature, Loop(told.loop.steps, told.loop.feed, told.loop.next)
    watched = _watched(told.loop.watch, signature)
    engine = engine_of(told.target, entry, job.out, told.options)
    count = signature.most(min(told.loop.examples, len(job.data.test)))
    several, one, made = (job.work / f"loop-{name}.npz" for name in ("several", "one", "made"))
    inputs = job.data.test.batch(np.arange(count))[0]
    save_arrays(several, inputs)
    save_arrays(one, {name: value[:1] for name, value in inputs.items()})
    seconds: list[list[float]] = []
    for at in range(told.processes):
        with Child(engine, job.work / "child.log", told.threads) as child:
            child.open(one)
            seconds.append(child.loop(one, loop, watched, told.seconds).seconds)
            if at == 0:
                child.loop(several, loop, watched, 0.0, made)
    found, wanted = load_arrays(made)["steps"], _reference(job.network(REFERENCE), inputs, loop, watched)
    rates = [loop.steps / float(np.median(process)) for process in seconds]
    error, agreement = drift(wanted, found)
    record = LoopRecord(
        loop.steps, told.loop.unit, float(np.median(rates)), bounds_of(*interval(rates)), told.processes,
        sum(map(len, seconds)), watched, error, agreement, count,
    )  # fmt: skip
    return LoopResult(f"{record.per_second:,.0f} {record.unit}s per second, error {error[-1]:.3g} after {loop.steps}", record)


def _watched(name: str | None, signature: Signature) -> str:
    names = [spec.name for spec in signature.outputs]
    if name is not None and name not in names:
        raise ModelError(f"measure.loop watches output {name!r}, which there is not; {nearest(name, names)}.")
    return name or names[0]


def _reference(model: "TorchModel", inputs: Arrays, loop: Loop, watched: str) -> Array:
    """What the reference network gives at each step of its own loop, (steps, N, ...)."""
    import torch

    from zoo.calling import call
    from zoo.outputs import named_outputs

    def run(arrays: Arrays) -> Arrays:
        with torch.no_grad():
            named = named_outputs(call(model.module.eval(), arrays))
        return examples_first({name: value.numpy() for name, value in named.items()}, model.signature.outputs)

    return np.stack(unroll(run, inputs, loop, watched, loop.function()).outputs)


def drift(wanted: Array, found: Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of each step the RMS difference by the reference's spread there, and the share of largest values at the same place.

    Args:
        wanted: (steps, N, ...), of the reference.
        found: of the same shape.
    """
    errors, shares = [], []
    for ours, theirs in zip(found.astype(np.float64), wanted.astype(np.float64), strict=True):
        errors.append(float(np.sqrt(np.mean((ours - theirs) ** 2)) / (float(theirs.std()) or 1.0)))
        places = (ours.argmax(-1), theirs.argmax(-1)) if ours.ndim > 1 else (np.sign(ours), np.sign(theirs))
        shares.append(float(np.mean(places[0] == places[1])))
    return tuple(errors), tuple(shares)
