"""The roofline of files that may come from anywhere: by their layers, and by the run that made them where there is one."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from artifacts.json import Row
from artifacts.records.roofline import PeaksRecord, RooflineRecord
from artifacts.types import Engine
from benchmarks.roofline.layer_costs import layer_times
from benchmarks.roofline.peaks import measure_peaks
from benchmarks.roofline.roofline import costs, place_by_layers
from benchmarks.timing.measure import MeasurePlan
from runtimes.registry import find
from tightship.benching.energy import beside
from tightship.reporting.sections.speed.roofline import meaning


class Roofs:
    """This machine's peaks, measured once for each number of threads."""

    def __init__(self, targets: list[str]) -> None:
        self.targets = [name for name in targets if find(name).device == "cpu"]
        self._peaks: dict[int, PeaksRecord] = {}

    def peaks(self, plan: MeasurePlan, folder: Path) -> PeaksRecord:
        """The peaks on as many threads as the plan has.

        Raises:
            StageCrashed: a runtime died.
        """
        if plan.threads not in self._peaks:
            self._peaks[plan.threads] = measure_peaks(self.targets, plan.threads, plan.block_seconds, folder)
        return self._peaks[plan.threads]

    def place(
        self, engines: Mapping[str, Engine], p50_ms: Mapping[str, float], plan: MeasurePlan, folder: Path
    ) -> dict[str, Row]:
        """What each file reaches: `roofline` and `peaks` as plain values, and `means`, a sentence.

        Args:
            engines: what was measured, by name.
            p50_ms: their latencies.
            plan: how they were measured.
            folder: where the measurement left `one.npz`, the inputs of a call.
        """
        times = layer_times(engines, folder / "one.npz", plan.threads, folder)
        peaks = self.peaks(plan, folder)
        found = {}
        for name, engine in engines.items():
            target, layers = engine.target, times[name]
            if find(target).device != "cpu":
                record = costs(target, None, layers, None)
                means = f"{target} runs on a GPU, and the roofs are those of the CPU"
            else:
                threads = find(target).read_options(engine.options).threads or plan.threads
                made = recorded(engine.path) if plan.latency_batch == 1 else None
                record = place_by_layers(target, p50_ms[name], peaks, layers, threads, made)
                means = meaning(target, p50_ms[name], record)
            found[name] = {"roofline": asdict(record), "peaks": asdict(peaks), "means": means}
        return found


def recorded(path: Path) -> RooflineRecord | None:
    """What the run that wrote this file recorded of a call on one example; none of a file made elsewhere."""
    found = beside(path)
    return found[1].roofline if found else None
