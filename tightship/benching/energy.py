"""Energy and end-to-end latency of files that may come from anywhere."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from artifacts.errors import TightshipError
from artifacts.json import JsonValue, Row, read
from artifacts.records.evidence import ArtifactRecord, Evidence, read_evidence
from artifacts.types import Engine
from benchmarks.timing.energy import Meter
from benchmarks.timing.measure import Measured
from benchmarks.timing.rounds import EndToEnd
from tightship.pipeline.stages.measuring.energy import end_to_end, end_to_end_of, energy_of
from zoo.splits import Preprocessing

ALONE = "a file by itself does not say how raw examples become its input; bench the file in the folder of its run"


def beside(path: Path) -> tuple[Evidence, ArtifactRecord] | None:
    """The evidence of the run that wrote a file, and its record there; none of a file made elsewhere."""
    for folder in path.resolve().parents:
        if (folder / "evidence.json").is_file():
            try:
                found = read_evidence(folder / "evidence.json")
            except TightshipError:  # evidence that cannot be read says nothing of the file
                return None
            mine = (r for r in found.artifacts if (folder / r.main).resolve() == path.resolve())
            return next(((found, record) for record in mine), None)
    return None


def raw_example_for(engines: Sequence[Engine]) -> tuple[EndToEnd | None, str | None]:
    """A made-up raw picture for files of runs whose data says how it becomes model input, or why there is none.

    What preprocessing takes does not depend on the pixels, so they are made up, as other inputs are.
    """
    hows: list[JsonValue] = []
    for engine in engines:
        found = beside(engine.path)
        if found is None:
            return None, ALONE
        hows.append(found[0].data.get("preprocessing") or {})
    if any(not how or how != hows[0] for how in hows):
        return None, "the data of these runs has no preprocessing, or not the same"
    spec = engines[0].signature.inputs[0]
    sizes = tuple(size for size in spec.shape[1:] if isinstance(size, int))
    if len(engines[0].signature.inputs) != 1 or len(sizes) != 3:
        return None, "the input is not one picture of a fixed size"
    how = read(Preprocessing, hows[0])
    # a scale below 1 brings raw values to 0..1, so white is 1 / scale there
    white = round(1 / how.scale) if how.scale < 1 else 255
    raw = np.random.default_rng(0).integers(0, white, (1, *sizes), np.uint8, endpoint=True)
    return end_to_end_of({spec.name: raw}, how, same=False), None


def calls_of(
    found: Mapping[str, Measured], targets: Mapping[str, str], meter: Meter, whole: EndToEnd | None, reason: str | None
) -> dict[str, Row]:
    """What each file's calls cost besides their latency, as plain values: `power`, `energy`, `end_to_end` and why it is none.

    Args:
        found: what was measured, by name.
        targets: the targets, by the same names.
        meter: that was read.
        whole: the raw example, if calls from there were timed.
        reason: why not.
    """
    power, rows = meter.record(), {}
    for name, one in found.items():
        energy, ends = energy_of(one, power, targets[name]), end_to_end(one, whole)
        rows[name] = {
            "power": asdict(power), "energy": asdict(energy) if energy else None,
            "end_to_end": asdict(ends) if ends else None, "no_end_to_end": reason,
        }  # fmt: skip
    return rows
