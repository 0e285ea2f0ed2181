"""The roofline of a run: this machine's peaks and the layers' times, measured after the latencies."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from artifacts.errors import TightshipError
from artifacts.records.roofline import LayerTimes, PeaksRecord, RooflineRecord
from artifacts.types import Engine
from benchmarks.roofline.layer_costs import layer_times
from benchmarks.roofline.peaks import measure_peaks
from benchmarks.roofline.roofline import costs, place
from benchmarks.roofline.work import Work
from benchmarks.timing.measure import MeasurePlan
from runtimes.registry import find
from tightship.pipeline.stages.job import Job
from tightship.planning.step_configs import MeasureStep


def measure_roofs(
    engines: Mapping[str, Engine], first: Path, plan: MeasurePlan, job: Job[MeasureStep]
) -> tuple[dict[str, LayerTimes], PeaksRecord | None]:
    """The times of the layers of every engine on the inputs in `first`, and the peaks; none where they cannot be measured."""
    job.progress(0.99, "layers")
    layers = layer_times(engines, first, plan.threads, job.work)
    targets = [engine.target for engine in engines.values() if find(engine.target).device == "cpu"]
    try:
        seconds = plan.block_seconds
        peaks = measure_peaks(targets, plan.threads, seconds, job.work, lambda _, text: job.progress(0.99, text))
    except TightshipError as error:  # a run is not worth less without its roofs
        job.progress(0.99, f"the peaks could not be measured: {error}")
        return layers, None
    return layers, peaks


def roofline_of(
    target: str, scheme: str | None, p50_ms: float, work: Work, peaks: PeaksRecord | None, times: LayerTimes, threads: int
) -> RooflineRecord:
    """An artifact's place under the roofs.

    Args:
        target: its target's name.
        scheme: of quantization; none: float.
        p50_ms: its latency.
        work: what one call of its network has to do.
        peaks: of this machine.
        times: of its layers.
        threads: that it was measured with.
    """
    if find(target).device != "cpu":
        reason = f"{target} runs on a GPU, and the roofs are those of the CPU"
        return replace(costs(target, None, times, scheme), reasons=(reason,))
    return place(target, scheme, p50_ms, work, peaks, times, threads)
