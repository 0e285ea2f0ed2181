"""What networks cost where they will run: exported, quantized and timed there, beside the network that they came from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.files import sha256_json, write_atomic
from artifacts.types import Engine, Split, TorchModel
from benchmarks.timing.measure import MeasurePlan, measure
from compress.configs import QuantizeConfig
from compress.edits.replay import edit_to_json
from compress.quantizers import QUANTIZERS, Calibration
from export.registry import FORMATS
from runtimes.target import Target
from tightship.store import code_digest, versions

PACKAGES = ("artifacts", "zoo", "compress", "export", "runtimes", "benchmarks")
AT_ONCE = 6
"""Engines that are open at the same time, each in a process of its own."""
AGREE = 1.1
"""The least of an engine's processes is believed once another comes this near to it."""
MOST = 4
"""Processes of one engine, if they do not agree."""
CALIBRATION = QuantizeConfig(calibration_samples=4)
"""Ranges do not change how long an integer kernel takes."""


@dataclass(frozen=True)
class DeployedLatency:
    """Latencies as shares of `start`'s, on a target and in a precision; remembered in `memory` by structure, not weights."""

    start: TorchModel
    target: Target
    precision: str
    split: Split
    machine: str
    """The fingerprint of this machine."""
    threads: int
    options: Mapping[str, Any]
    """How the target's runtime opens the files, as the recipe says of the target."""
    operators_sha256: Mapping[str, str]
    """Of the functions that translate operators of the user's own, which the files are written with."""
    memory: Path
    work: Path

    def __call__(self, models: Sequence[TorchModel]) -> list[float]:
        """One share for each network; several are timed interleaved with `start`, a single one in more processes."""
        keys = [self._key(m) for m in models]
        missing = {key: m for key, m in zip(keys, models, strict=True) if not self._file(key).is_file()}
        waiting = list(missing.items())
        for begin in range(0, len(waiting), AT_ONCE):
            self._time(dict(waiting[begin : begin + AT_ONCE]), processes=3 if len(models) == 1 else 2)
        return [float(json.loads(self._file(key).read_text())["share"]) for key in keys]

    def of(self, model: TorchModel) -> float:
        """The share of one network."""
        return self([model])[0]

    def _file(self, key: str) -> Path:
        return self.memory / f"{key}.json"

    def _key(self, model: TorchModel) -> str:
        def structure(m: TorchModel) -> Any:
            return [m.ref.zoo, m.ref.factory, dict(m.ref.options), [edit_to_json(e) for e in m.edits]]

        return sha256_json({
            "model": structure(model), "start": structure(self.start), "target": self.target.name,
            "precision": self.precision, "machine": self.machine, "threads": self.threads,
            "code": code_digest(PACKAGES), "versions": versions(self.target.libraries),
            "options": dict(self.options), "operators": dict(self.operators_sha256),
        })  # fmt: skip

    def _time(self, models: dict[str, TorchModel], processes: int) -> None:
        engines = {"start": self._engine("start", self.start)}
        engines |= {key: self._engine(key, model) for key, model in models.items()}
        example = self.split.batch(np.arange(1))[0]
        plan = MeasurePlan(processes, blocks=8, block_seconds=0.1, threads=self.threads, throughput_batch=0, cold=False)
        seen: dict[str, list[list[float]]] = {name: [] for name in engines}
        while not all(confirmed(rounds) for rounds in seen.values()) and len(seen["start"]) < MOST:
            # all of them again, so that what slows the machine for minutes slows all alike
            found = measure(engines, example, plan, self.work / "timing")
            for name, rounds in seen.items():
                rounds += found[name].rounds_ms
            plan = replace(plan, processes=1, seed=plan.seed + 1)
        start = undisturbed(seen["start"])
        for key in models:
            ms = undisturbed(seen[key])
            write_atomic(self._file(key), json.dumps({"share": ms / start, "ms": ms, "start_ms": start}))

    def _engine(self, name: str, model: TorchModel) -> Engine:
        folder = self.work / "engines" / name[:16]
        made = folder / "engine"
        made.mkdir(parents=True, exist_ok=True)
        engine = self.target.runtime().build(self._exported(model, folder), made)
        return replace(engine, options={**engine.options, **self.options})

    def _exported(self, model: TorchModel, folder: Path) -> Any:
        write = FORMATS.find(self.target.formats[0]).load()
        for name in ("plain", "final"):
            (folder / name).mkdir(exist_ok=True)
        if self.precision == "fp32":
            return write(model, folder / "final")
        assert self.target.quantizer is not None
        quantizer, calibration = QUANTIZERS.find(self.target.quantizer), Calibration(self.split, CALIBRATION, 0, model)
        if quantizer.works_on == "module":
            return write(replace(model, module=quantizer.load()(calibration)), folder / "final")
        return quantizer.load()(write(model, folder / "plain"), folder / "final", calibration)


def undisturbed(rounds_ms: Sequence[Sequence[float]]) -> float:
    """The tenth percentile of a process's calls, of the process where it is least: others only ever add to a call.

    With two or three processes a median would take one that was disturbed throughout for half of the answer.

    >>> undisturbed([[0.5] * 10, [0.7] * 10])
    0.5
    """
    return _bests(rounds_ms)[0]


def confirmed(rounds_ms: Sequence[Sequence[float]]) -> bool:
    """Whether a second process comes near to the least, so that it is not that all of them were disturbed throughout.

    >>> confirmed([[0.5] * 10, [0.7] * 10]), confirmed([[0.5] * 10, [0.7] * 10, [0.52] * 10])
    (False, True)
    """
    bests = _bests(rounds_ms)
    return len(bests) > 1 and bests[1] <= AGREE * bests[0]


def _bests(rounds_ms: Sequence[Sequence[float]]) -> list[float]:
    """What each process reached, the least first."""
    return sorted(float(np.quantile(calls, 0.1)) for calls in rounds_ms)
