"""What calls cost besides their latency: energy, and the task's work before and after; as records."""

from collections.abc import Sequence

import numpy as np

from artifacts.records.calls import EndToEndRecord, EnergyRecord, PartRecord, PowerRecord
from artifacts.records.measured import Bounds, bounds_of
from artifacts.types import Arrays
from benchmarks.process.end_to_end import Scaling
from benchmarks.timing.energy import counts
from benchmarks.timing.measure import Measured
from benchmarks.timing.rounds import EndToEnd, device_of
from benchmarks.timing.statistics import interval
from zoo.metrics import find
from zoo.splits import Preprocessing, TaskData


def raw_example(data: TaskData) -> tuple[EndToEnd | None, str | None]:
    """The first test example as it is before preprocessing, or why calls from there to a label cannot be timed."""
    how, inputs = getattr(data.test, "preprocessing", None), getattr(data.test, "inputs", {})
    if how is None:
        return None, "the data set has no preprocessing that is known here: its examples are model inputs as they are"
    metric = find(data.metric)
    if not metric.classifies or metric.of is not None:
        return None, f"the metric is {data.metric}: there are no labels to find in the outputs"
    return end_to_end_of({name: value[:1] for name, value in inputs.items()}, how, same=True), None


def end_to_end_of(raw: Arrays, how: Preprocessing, same: bool) -> EndToEnd:
    """A raw example with its preprocessing, to be timed."""
    return EndToEnd(raw, Scaling(how.scale, how.mean, how.std), same)


def energy_of(one: Measured, power: PowerRecord, target: str) -> EnergyRecord | None:
    """The energy of one call; none where no counter was read, or where none moved in so short a time."""
    if not one.energy_mj or min(one.energy_mj) <= 0:
        return None
    mine = [source for source in power.sources if counts(source.device, device_of(target))]
    mj, ms = float(np.mean(one.energy_mj)), float(np.mean(one.samples))
    idle_w = sum(source.idle_w for source in mine)
    return EnergyRecord(mj, _ci(one.energy_mj), mj - idle_w * ms, mj / ms, tuple(source.name for source in mine))


def end_to_end(one: Measured, whole: EndToEnd | None) -> EndToEndRecord | None:
    """Calls from the raw example to the labels; none where they were not timed."""
    if whole is None or not one.whole_ms:
        return None
    pre, inference, post, all_of_it = (
        _part([process[name] for process in one.whole_ms]) for name in ("pre", "inference", "post", "whole")
    )
    raw = ", ".join(f"{v.dtype} {'x'.join(map(str, v.shape))}" for v in whole.raw.values())
    return EndToEndRecord(pre, inference, post, all_of_it, one.whole_calls, len(one.whole_ms), raw, whole.labels)


def _part(processes: Sequence[Sequence[float]]) -> PartRecord:
    medians, tails = zip(*processes, strict=True)
    return PartRecord(float(np.median(medians)), _ci(medians), float(np.median(tails)), _ci(tails))


def _ci(values: Sequence[float]) -> Bounds:
    return bounds_of(*interval(values))
