"""The roofline of a run: this machine's peaks and the layers' times, measured after the latencies, read back as evidence."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from artifacts.errors import TightshipError
from artifacts.files import write_json
from artifacts.records.noise import NoiseRecord
from artifacts.records.roofline import BandwidthRecord, LayerTimes, PeakRecord, PeaksRecord, RooflineRecord
from artifacts.types import Engine
from benchmarks.roofline.layer_costs import layer_times, read
from benchmarks.roofline.peaks import measure_peaks
from benchmarks.roofline.roofline import costs, place
from benchmarks.roofline.work import Work
from benchmarks.timing.measure import MeasurePlan
from runtimes.registry import find
from tightship.pipeline.stages.job import Job

FILE = "roofline.json"
NOT_TIMED = LayerTimes((), 0, "the layers were not timed")


def record(engines: Mapping[str, Engine], first: Path, plan: MeasurePlan, job: Job) -> None:
    """Measure the layers of every engine on the inputs in `first`, and the peaks; write both beside the step's result."""
    job.progress(0.99, "layers")
    layers = {name: asdict(times) for name, times in layer_times(engines, first, plan.threads, job.work).items()}
    peaks: dict[str, Any] | None = None
    targets = [engine.target for engine in engines.values() if find(engine.target).device == "cpu"]
    try:
        seconds = plan.block_seconds
        peaks = asdict(measure_peaks(targets, plan.threads, seconds, job.work, lambda _, text: job.progress(0.99, text)))
    except TightshipError as error:  # a run is not worth less without its roofs
        job.progress(0.99, f"the peaks could not be measured: {error}")
    write_json(job.out / FILE, {"peaks": peaks, "layers": layers})


class Costs:
    """What a measure step recorded; empty for a step of an earlier version."""

    def __init__(self, folder: Path) -> None:
        path = folder / FILE
        found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {"peaks": None, "layers": {}}
        self.peaks = _peaks(found["peaks"])
        self._layers: dict[str, Any] = found["layers"]

    def time_shares(self, artifact: str) -> dict[str, float]:
        """The share of the time of all layers that each layer of the model took, where the runtime tells both."""
        timed = read(self._layers[artifact]).layers if artifact in self._layers else ()
        total = sum(one.ms for one in timed)
        shares: dict[str, float] = {}
        for one in timed:
            if one.layer is not None and total:
                shares[one.layer] = shares.get(one.layer, 0.0) + one.ms / total
        return shares

    def of(
        self, artifact: str, target: str, scheme: str | None, p50_ms: float, work: Mapping[str, Any] | None, threads: int
    ) -> RooflineRecord:
        """An artifact's place under the roofs.

        Args:
            artifact: its id.
            target: its target's name.
            scheme: of quantization; none: float.
            p50_ms: its latency.
            work: what its check step counted.
            threads: that it was measured with.
        """
        times = read(self._layers[artifact]) if artifact in self._layers else NOT_TIMED
        if find(target).device != "cpu":
            reason = f"{target} runs on a GPU, and the roofs are those of the CPU"
            return RooflineRecord(**{**vars(costs(target, None, times, scheme)), "reasons": (reason,)})
        return place(target, scheme, p50_ms, None if work is None else Work.of(work), self.peaks, times, threads)


def _peaks(value: dict[str, Any] | None) -> PeaksRecord | None:
    if value is None:
        return None
    compute = tuple(
        PeakRecord(**{**p, "tried": tuple(p["tried"]), "disturbed": tuple(p["disturbed"])}) for p in value["compute"]
    )
    bandwidth = tuple(BandwidthRecord(**{**b, "disturbed": tuple(b["disturbed"])}) for b in value["bandwidth"])
    return PeaksRecord(**{**value, "compute": compute, "bandwidth": bandwidth, "noise": NoiseRecord.of(value["noise"])})
