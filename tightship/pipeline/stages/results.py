"""What each kind of stage says of its work; its files lie in its folder of the store."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, Protocol

from artifacts.json import JsonValue
from artifacts.records.accuracy_guard import GuardRecord
from artifacts.records.evidence import ParityRecord, PlacementRecord
from artifacts.records.invariance import InvarianceRecord
from artifacts.records.per_class import PerClassRecord
from artifacts.records.sensitivity import SensitivityRecord
from artifacts.specs import Signature, TensorSpec
from benchmarks.roofline.work import Work
from compress.configs import QuantizeConfig
from zoo.splits import Preprocessing

Remedy = Literal["equalize", "correct"]

Details = Mapping[str, JsonValue]
"""What evidence repeats of a stage, as plain values."""


class StageResult(Protocol):
    """What evidence and progress read of any stage."""

    @property
    def summary(self) -> str:
        """What the stage did, in one line."""
        ...

    def metrics(self) -> dict[str, float]:
        """Measured figures; of a network: accuracy (0..1), parameters, macs, bytes, sparsity (0..1)."""
        ...

    def details(self) -> Details:
        """What else evidence repeats."""
        ...


@dataclass(frozen=True)
class ChosenThreads:
    """With how many threads a network was trained, where the user left that open."""

    threads: int
    seconds: Mapping[int, float]
    """Of a step, by number of threads; empty where nothing was timed."""

    def details(self) -> Details:
        """As evidence says it."""
        return {"threads": self.threads, "step_seconds_by_threads": {str(n): s for n, s in self.seconds.items()}}


@dataclass(frozen=True)
class DataResult:
    """What the data set is."""

    summary: str
    name: str
    train: int
    test: int
    metric: str
    labels: tuple[str, ...] | None
    preprocessing: Preprocessing | None
    inputs: tuple[TensorSpec, ...]
    test_sha256: str
    further: tuple[str, ...] = ()
    """Metrics beside the one that decides."""
    labelled: bool = True

    def metrics(self) -> dict[str, float]:
        """See `StageResult`."""
        return {}

    def details(self) -> Details:
        """See `StageResult`."""
        return {name: value for name, value in asdict(self).items() if name != "summary"}


@dataclass(frozen=True)
class NetworkResult:
    """A network, stored beside this: what it scores and weighs."""

    summary: str
    accuracy: float
    """Of the simulated network where it was trained for int8."""
    parameters: float
    macs: float
    bytes: float
    sparsity: float
    accuracy_simulated: float | None = None
    method: Details = field(default_factory=dict)
    """What the method says of its work."""
    threads: ChosenThreads | None = None
    further: Mapping[str, float] = field(default_factory=dict)
    """Metrics beside the one that decides, by name."""
    uncounted: tuple[str, ...] = ()
    """Operators that may multiply and are not in `macs`, because nobody knows how much."""

    def metrics(self) -> dict[str, float]:
        """See `StageResult`."""
        macs = () if self.uncounted and not self.macs else ("macs",)  # unknown is not 0
        names = ("parameters", *macs, "bytes", "sparsity", "accuracy", "accuracy_simulated")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def details(self) -> Details:
        """See `StageResult`."""
        told = {"uncounted": list(self.uncounted)} if self.uncounted else {}
        return {**self.method, **(self.threads.details() if self.threads else {}), **told}


@dataclass(frozen=True)
class GuardChoice:
    """How the file that the accuracy guard chose was made."""

    config: QuantizeConfig
    remedies: tuple[Remedy, ...]
    trained: bool


@dataclass(frozen=True)
class ExportResult:
    """An exported file, in `files` beside this."""

    summary: str
    bytes: float
    format: str
    main: str
    signature: Signature
    notes: tuple[str, ...]
    remedied: bool = False
    """Whether the accuracy guard changed the network's weights before they were rounded."""
    guard: GuardRecord | None = None
    choice: GuardChoice | None = None
    checked: Mapping[str, str] | None = None
    """Of a file that was converted and not run: what was looked at, and what was found."""
    threads: ChosenThreads | None = None
    """Of the accuracy guard, which may train."""

    def metrics(self) -> dict[str, float]:
        """See `StageResult`."""
        return {"bytes": self.bytes}

    def details(self) -> Details:
        """See `StageResult`."""
        told: dict[str, JsonValue] = {"main": self.main, "format": self.format}
        told |= {"signature": asdict(self.signature), "notes": list(self.notes)}
        told |= {"remedied": self.remedied, "guard": asdict(self.guard)} if self.guard else {}
        if self.choice:
            config = self.choice.config.model_dump(mode="json")
            told["candidate"] = {"config": config, "remedies": list(self.choice.remedies), "trained": self.choice.trained}
        told |= self.threads.details() if self.threads else {}
        return told | ({"checked": dict(self.checked)} if self.checked is not None else {})


@dataclass(frozen=True)
class CheckResult:
    """What a file computes on its target."""

    summary: str
    accuracy: float
    """The task's metric on the whole test set."""
    examples: int
    parity: ParityRecord
    placement: PlacementRecord
    work: Work
    """What one call of its network has to do."""
    notes: tuple[str, ...] = ()
    reproducer: bool = False
    """Whether a folder that shows a difference lies beside this."""
    further: Mapping[str, float] = field(default_factory=dict)
    """Metrics beside the one that decides, by name."""
    invariance: InvarianceRecord = field(default_factory=InvarianceRecord)
    per_class: PerClassRecord | None = None
    """Of a task whose metric counts classes."""

    def metrics(self) -> dict[str, float]:
        """See `StageResult`."""
        return {"accuracy": self.accuracy}

    def details(self) -> Details:
        """See `StageResult`."""
        told: dict[str, JsonValue] = {"parity": asdict(self.parity), "placement": asdict(self.placement)}
        told |= {"examples": self.examples, "work": asdict(self.work)}
        return told | ({"notes": list(self.notes)} if self.notes else {})


@dataclass(frozen=True)
class SensitivityResult:
    """Which layers of an int8 file lose how much."""

    summary: str
    record: SensitivityRecord

    def metrics(self) -> dict[str, float]:
        """See `StageResult`."""
        return {}

    def details(self) -> Details:
        """See `StageResult`; it stands with the artifact."""
        return {}
