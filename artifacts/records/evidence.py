"""The evidence of a run: what was built, what was measured on the deployed artifact, and what was decided."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from artifacts.errors import RequestError
from artifacts.files import write_json
from artifacts.json import JsonObject
from artifacts.records.absent import ConvertedRecord as ConvertedRecord
from artifacts.records.absent import FailureRecord as FailureRecord
from artifacts.records.absent import FileRecord as FileRecord
from artifacts.records.absent import NotRun as NotRun
from artifacts.records.accuracy_guard import GuardRecord
from artifacts.records.calls import EndToEndRecord, EnergyRecord, PowerRecord
from artifacts.records.invariance import InvarianceRecord
from artifacts.records.loop import LoopRecord
from artifacts.records.measured import AccuracyRecord as AccuracyRecord
from artifacts.records.measured import FurtherMetric as FurtherMetric
from artifacts.records.measured import LatencyRecord as LatencyRecord
from artifacts.records.measured import ParityRecord as ParityRecord
from artifacts.records.measured import PlacementRecord as PlacementRecord
from artifacts.records.measured import SpeedupRecord as SpeedupRecord
from artifacts.records.noise import NoiseRecord, WarmupRecord
from artifacts.records.per_class import PerClassRecord
from artifacts.records.roofline import PeaksRecord, RooflineRecord
from artifacts.records.sensitivity import SensitivityRecord

SCHEMA = 1
"""The version of the evidence file; a reader refuses a newer one."""


@dataclass(frozen=True)
class Machine:
    """Where the numbers come from."""

    cpu: str
    isa: tuple[str, ...]
    cores: int
    memory_gb: float
    gpu: str | None
    os: str
    python: str
    governor: str | None
    versions: Mapping[str, str]

    def fingerprint(self) -> str:
        """One line that tells two machines apart."""
        governor = f" | {self.governor}" if self.governor else ""
        return f"{self.cpu} | {self.cores} cores | {'+'.join(self.isa)} | {self.gpu or 'no GPU'}{governor}"


@dataclass(frozen=True)
class StageRecord:
    """One stage of the chain: what it did to the model, as measured."""

    name: str
    kind: str
    key: str
    cached: bool
    seconds: float
    """How long the stage took when it really ran."""
    summary: str
    """What the stage did to the model, in one line."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Measured figures; of a model: accuracy (0..1), parameters, macs, bytes, sparsity (0..1)."""
    details: JsonObject = field(default_factory=dict)


@dataclass(frozen=True)
class GateRecord:
    """One limit and the measured value it was held against."""

    name: str
    limit: float
    value: float | None
    passed: bool
    reason: str


@dataclass(frozen=True)
class ArtifactRecord:
    """One deployed artifact with everything that was measured on it."""

    id: str
    """Such as `onnxruntime-cpu/int8-qat`."""
    target: str
    precision: str
    role: Literal["reference", "stock", "compressed"]
    """`stock`: the reference in int8 as the target's own tools make it, to compare with."""
    format: str
    main: str
    files: tuple[FileRecord, ...]
    bytes: int
    signature: JsonObject
    parity: ParityRecord
    accuracy: AccuracyRecord
    latency_ms: LatencyRecord
    throughput_per_s: float
    throughput_batch: int
    cold_start_ms: float
    cold_start_parts_ms: Mapping[str, float]
    peak_rss_mb: float
    placement: PlacementRecord
    speedup: SpeedupRecord | None
    gates: tuple[GateRecord, ...]
    verdict: Literal["ship", "pass", "fail", "reference"]
    """`ship`: the best that passed on its target; `pass`: passed, but another is better; `reference`: not judged."""
    notes: tuple[str, ...] = ()
    guard: GuardRecord | None = None
    """Of a file that the accuracy guard made."""
    versus_stock: SpeedupRecord | None = None
    """Against the stock int8 file of the same target, where the recipe asks for one."""
    versus_float: SpeedupRecord | None = None
    """Of a quantized file: against the fp32 file of the same network on the same target, where there is one."""
    versus_row: SpeedupRecord | None = None
    """Of a labeled row: against the file of the same precision in the first row of the same target, where there is one."""
    rss_load_mb: float | None = None
    """Peak resident set until the file was loaded, in MB of 10^6 bytes."""
    rss_run_mb: float | None = None
    """Peak resident set of the single calls, apart from that of loading where the system can tell them apart."""
    activation_bytes: float | None = None
    """Activations that are needed at once, at most, in a call on one example: an estimate from the network's graph."""
    warmup: WarmupRecord | None = None
    options: JsonObject = field(default_factory=dict)
    """How the runtime opened it: the target's options of the recipe that are not at their default."""
    roofline: RooflineRecord | None = None
    """How much of what this machine can do it reaches, and what its layers take."""
    energy: EnergyRecord | None = None
    """Of one call; none where `power` of the run says why."""
    end_to_end: EndToEndRecord | None = None
    """Calls from the raw example to the label; none where `no_end_to_end` of the run says why."""
    sensitivity: SensitivityRecord | None = None
    """Of an int8 file, where the recipe says `measure: {sensitivity: true}`: which layers lose how much."""
    invariance: InvarianceRecord | None = None
    """Whether answers depend on the company or the padding of an example; none in evidence of versions that did not look."""
    loop: LoopRecord | None = None
    """Where the recipe says `measure: {loop: ...}`: calls that are fed what the call before gave."""
    per_class: PerClassRecord | None = None
    """How well each class is told from the others; none where the task's metric does not count classes."""


@dataclass(frozen=True)
class Verdict:
    """The decision: which artifacts ship, and why or why not."""

    passed: bool
    shipped: tuple[str, ...]
    best: str | None
    """The shipped artifact with the lowest latency."""
    reasons: tuple[str, ...]
    missing_only: bool = False
    """Whether nothing failed but targets that cannot run here: the run then exits with 3, not with 1."""

    @property
    def exit_code(self) -> int:
        """0 passed; 1 something failed; 3 targets are missing here, and everything else passed."""
        return 0 if self.passed else 3 if self.missing_only else 1


@dataclass(frozen=True)
class Evidence:
    """All that one run showed."""

    name: str
    command: str
    recipe: JsonObject
    recipe_sha256: str
    machine: Machine
    data: JsonObject
    """Name, example counts, labels, preprocessing and fingerprint of the data set."""
    stages: tuple[StageRecord, ...]
    artifacts: tuple[ArtifactRecord, ...]
    not_run: tuple[NotRun, ...]
    """Optional targets that cannot run here, and rows that were not asked for."""
    verdict: Verdict
    schema: int = SCHEMA
    noise: NoiseRecord | None = None
    peaks: PeaksRecord | None = None
    """The best that this machine's kernels and memory were measured to do."""
    power: PowerRecord | None = None
    """Where energy was read, what the machine took when idle, and why where nothing could be read."""
    no_end_to_end: str | None = None
    """Why no calls from the raw example to the label were timed; none where they were."""
    failed: tuple[FailureRecord, ...] = ()
    """What the recipe asks for and could not be made, checked or measured; everything else was."""
    asked_for: tuple[str, ...] = ()
    """The targets of the recipe that this run was cut down to, `@label` at those that have one; empty: all of them."""

    def artifact(self, artifact_id: str) -> ArtifactRecord:
        """The artifact with this id.

        Raises:
            RequestError: there is none; the message lists those there are.
        """
        for record in self.artifacts:
            if record.id == artifact_id:
                return record
        known = ", ".join(a.id for a in self.artifacts)
        raise RequestError(f"no artifact {artifact_id!r} in run {self.name!r}; there are: {known}.")

    def write(self, path: Path) -> None:
        """Write the evidence as JSON, atomically."""
        write_json(path, {"schema": self.schema, **asdict(self)})


def read_evidence(path: Path) -> Evidence:
    """Read an evidence file.

    Raises:
        RequestError: the file is missing, is not evidence, or was written by a newer schema.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Evidence).validate_json(_checked(path), strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RequestError(f"{path} is not valid evidence: {where}: {first['msg']}.") from None


def _checked(path: Path) -> str:
    import json

    try:
        text = path.read_text()
        value = json.loads(text)
        schema = value["schema"]
    except FileNotFoundError:
        raise RequestError(f"there is no evidence at {path}; make it with `tightship run RECIPE --out DIR`.") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RequestError(f"{path} is not an evidence file: {error}.") from None
    if type(schema) is not int or schema > SCHEMA:
        raise RequestError(f"{path} has schema {schema}, but this tightship reads up to {SCHEMA}; upgrade tightship.")
    return text
