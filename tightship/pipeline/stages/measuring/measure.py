"""The step that measures all deployed files against each other."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from artifacts.arrays import examples_first, save_arrays
from artifacts.errors import TightshipError
from artifacts.ids import ArtifactId
from artifacts.records.roofline import LayerTimes
from artifacts.types import Engine
from benchmarks.timing.energy import Meter
from benchmarks.timing.measure import Measured, MeasurePlan, measure
from benchmarks.timing.noise import NoiseMonitor
from tightship.pipeline.stages.export import engine_of
from tightship.pipeline.stages.job import Job
from tightship.pipeline.stages.measuring import energy, roofline
from tightship.pipeline.stages.measuring.results import MeasureResult, Timing
from tightship.pipeline.stages.results import ExportResult, SensitivityResult
from tightship.planning.step_configs import MeasureStep, SensitivityStep


def rank_layers(job: Job[SensitivityStep]) -> SensitivityResult:
    """Which layers of an int8 file lose how much; see `tightship/pipeline/stages/sensitivity.py`."""
    # it needs torch, which a run that finds all in the store does not
    from tightship.pipeline.stages.sensitivity import sensitivity

    return sensitivity(job)


def measure_all(job: Job[MeasureStep]) -> MeasureResult:
    """Latency, throughput, cold start and memory of every artifact, interleaved in separate processes.

    Raises:
        TightshipError: a file could not be opened or timed; its `subject` is the artifact's id.
    """
    plan = plan_of(job.config)
    files = {name: job.input(name, ExportResult) for name in job.config.artifacts}
    targets = {name: ArtifactId.parse(name).target for name in files}
    built, opened = job.out / "engines", job.config.artifacts
    engines: dict[str, Engine] = {}
    for name, entry in files.items():
        with _costs(name):
            engines[name] = engine_of(targets[name], entry, built, opened[name])
    inputs = job.data.test.batch(np.arange(min(plan.throughput_batch, len(job.data.test))))[0]
    watch, meter = NoiseMonitor(), Meter.find()
    watch.look_first()
    meter.look_first()
    whole, no_end_to_end = energy.raw_example(job.data)
    try:
        found = measure(engines, inputs, plan, job.work, job.progress, watch, meter, whole)
    except TightshipError as error:
        error.subject = next((name for name, engine in engines.items() if engine is error.subject), error.subject)
        raise
    power = meter.record()
    for name, one in found.items():
        place = job.out / "outputs" / f"{name}.npz"
        place.parent.mkdir(parents=True, exist_ok=True)
        save_arrays(place, examples_first(one.outputs, engines[name].signature.outputs))
    layers, peaks = roofline.measure_roofs(engines, job.work / "one.npz", plan, job)
    timings = {
        name: replace(
            _timing(one, layers[name]),
            energy=energy.energy_of(one, power, targets[name]),
            end_to_end=energy.end_to_end(one, whole),
        )
        for name, one in found.items()
    }
    count = sum(len(one.samples) for one in found.values())
    summary = f"{len(found)} artifacts, {plan.processes} processes each, {count:,} calls timed"
    return MeasureResult(summary, timings, peaks, power, no_end_to_end)


@contextmanager
def _costs(name: str) -> Iterator[None]:
    """What goes wrong within is about this artifact."""
    try:
        yield
    except TightshipError as error:
        error.subject = name
        raise


def plan_of(config: MeasureStep) -> MeasurePlan:
    """How much is measured."""
    return MeasurePlan(
        processes=config.processes, blocks=config.blocks, block_seconds=config.block_seconds, threads=config.threads,
        throughput_batch=config.throughput_batch, repeats=config.blocks * config.processes // 2,
    )  # fmt: skip


def _timing(one: Measured, layers: LayerTimes) -> Timing:
    return Timing(
        rounds_ms=[[round(v, 6) for v in r] for r in one.rounds_ms], slice_calls=one.slice_calls, cold_ms=one.cold_ms,
        peak_rss_mb=one.peak_rss_mb, throughput_per_s=one.throughput_per_s, rss_load_mb=one.rss_load_mb,
        rss_run_mb=one.rss_run_mb, warmups=one.warmups, noise=one.noise, layers=layers,
    )  # fmt: skip
