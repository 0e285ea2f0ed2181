"""The step that measures all deployed files against each other."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from artifacts.arrays import save_arrays
from benchmarks.timing.energy import Meter
from benchmarks.timing.measure import MeasurePlan, measure
from benchmarks.timing.noise import NoiseMonitor
from tightship.pipeline.stages import energy, roofline
from tightship.pipeline.stages.export import engine_of
from tightship.pipeline.stages.job import Job
from tightship.store import Result


def rank_layers(job: Job) -> Result:
    """Which layers of an int8 file lose how much; see `tightship/pipeline/stages/sensitivity.py`."""
    from tightship.pipeline.stages.sensitivity import (
        sensitivity,  # it needs torch, which a run that finds all in the store does not
    )

    return sensitivity(job)


def measure_all(job: Job) -> Result:
    """Latency, throughput, cold start and memory of every artifact, interleaved in separate processes."""
    config = dict(job.step.config)
    config.pop("machine")
    opened: Mapping[str, Mapping[str, Any]] = config.pop("artifacts")
    plan = MeasurePlan(**config)
    plan = replace(plan, repeats=plan.blocks * plan.processes // 2)
    entries = {name.removeprefix("export "): entry for name, entry in job.inputs.items() if name.startswith("export ")}
    built = job.out / "engines"
    engines = {n: engine_of(n.partition("/")[0], entry, built, opened[n]) for n, entry in entries.items()}
    inputs = job.data.test.batch(np.arange(min(plan.throughput_batch, len(job.data.test))))[0]
    watch = NoiseMonitor()
    watch.look_first()
    meter = Meter.find()
    meter.look_first()
    whole, no_whole = energy.raw_example(job.data)
    found = measure(engines, inputs, plan, job.work, job.progress, watch, meter, whole)
    energy.record(found, meter, whole, no_whole, job.out)
    details: dict[str, Mapping[str, Any]] = {
        name: {
            "rounds_ms": [[round(v, 6) for v in r] for r in one.rounds_ms],
            "slice_calls": one.slice_calls,
            "cold_ms": [asdict(cold) for cold in one.cold_ms],
            "peak_rss_mb": one.peak_rss_mb,
            "throughput_per_s": one.throughput_per_s,
            "rss_load_mb": one.rss_load_mb,
            "rss_run_mb": one.rss_run_mb,
            "warmups": [asdict(warm) for warm in one.warmups],
            "noise": asdict(one.noise) if one.noise else None,
        }
        for name, one in found.items()
    }
    for name, one in found.items():
        place = job.out / "outputs" / f"{name}.npz"
        place.parent.mkdir(parents=True, exist_ok=True)
        save_arrays(place, one.outputs)
    roofline.record(engines, job.work / "one.npz", plan, job)
    count = sum(len(one.samples) for one in found.values())
    return Result(f"{len(found)} artifacts, {plan.processes} processes each, {count:,} calls timed", {}, details)
