"""What calls cost besides their latency: energy, and the task's work before and after; measured beside it, read as evidence."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.files import write_json
from artifacts.records.calls import EndToEndRecord, EnergyRecord, Interval, PartRecord, PowerRecord, PowerSource
from artifacts.types import Arrays
from benchmarks.timing.end_to_end import Scaling
from benchmarks.timing.energy import Meter, counts
from benchmarks.timing.measure import Measured
from benchmarks.timing.rounds import EndToEnd, device_of
from benchmarks.timing.statistics import interval
from zoo.splits import Preprocessing, TaskData

FILE = "calls.json"
UNBOUNDED = 1e12
EARLIER = "not recorded by the version that measured this run"


def raw_example(data: TaskData) -> tuple[EndToEnd | None, str | None]:
    """The first test example as it is before preprocessing, or why calls from there to a label cannot be timed."""
    how, inputs = getattr(data.test, "preprocessing", None), getattr(data.test, "inputs", {})
    if how is None:
        return None, "the data set has no preprocessing that is known here: its examples are model inputs as they are"
    if data.metric != "top1":
        return None, f"the metric is {data.metric}: there are no labels to find in the outputs"
    return end_to_end_of({name: value[:1] for name, value in inputs.items()}, how, same=True), None


def end_to_end_of(raw: Arrays, how: Preprocessing, same: bool) -> EndToEnd:
    """A raw example with its preprocessing, to be timed."""
    return EndToEnd(raw, Scaling(how.scale, how.mean, how.std), same)


def record(found: Mapping[str, Measured], meter: Meter, whole: EndToEnd | None, reason: str | None, out: Path) -> None:
    """Write down what was measured of every artifact, beside the step's result."""
    power = meter.record()
    energy = {name: energy_of(one, power, name.partition("/")[0]) for name, one in found.items()}
    ends = {name: end_to_end(one, whole) for name, one in found.items()}
    write_json(out / FILE, {
        "power": asdict(power), "reason": reason,
        "energy": {name: asdict(one) for name, one in energy.items() if one},
        "end_to_end": {name: asdict(one) for name, one in ends.items() if one},
    })  # fmt: skip


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


def _ci(values: Sequence[float]) -> Interval:
    low, high = interval(values)
    return low, min(high, UNBOUNDED)


class Calls:
    """What a measure step recorded; nothing for a step of an earlier version."""

    def __init__(self, folder: Path) -> None:
        path = folder / FILE
        found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        self.power = _power(found.get("power"))
        self.no_end_to_end: str | None = found.get("reason", EARLIER)
        self._energy: dict[str, Any] = found.get("energy", {})
        self._ends: dict[str, Any] = found.get("end_to_end", {})

    def energy(self, artifact: str) -> EnergyRecord | None:
        """The energy of an artifact's calls."""
        value = self._energy.get(artifact)
        return EnergyRecord(**{**value, "ci95": tuple(value["ci95"]), "sources": tuple(value["sources"])}) if value else None

    def end_to_end(self, artifact: str) -> EndToEndRecord | None:
        """An artifact's calls from the raw example to the labels."""
        value = self._ends.get(artifact)
        if value is None:
            return None
        parts = {name: _read_part(value[name]) for name in ("pre", "inference", "post", "whole")}
        return EndToEndRecord(**{**value, **parts})


def _power(value: dict[str, Any] | None) -> PowerRecord:
    if value is None:
        return PowerRecord((), EARLIER)
    return PowerRecord(tuple(PowerSource(**source) for source in value["sources"]), value["reason"])


def _read_part(value: dict[str, Any]) -> PartRecord:
    return PartRecord(value["p50"], tuple(value["p50_ci95"]), value["p90"], tuple(value["p90_ci95"]))
