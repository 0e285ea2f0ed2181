"""What surrounded the timed calls: the warm-up before them, and what else the machine did meanwhile."""

from dataclasses import dataclass
from enum import StrEnum

from artifacts.json import JsonObject, read


class Disturbance(StrEnum):
    """What shows that others disturbed a measurement; the value is what the evidence says."""

    WAITED = "waited for a core"
    FOREIGN = "other processes ran"
    STEAL = "other guests took time"
    SPIN = "a fixed loop ran slower than its best"
    LATE = "a caller began late"


@dataclass(frozen=True)
class WarmupRecord:
    """What each process needed until its latency was stable."""

    calls: tuple[int, ...]
    """Calls before the running median was stable, one per process."""
    ms: tuple[float, ...]
    """The time that these took."""
    settled: bool
    """Whether every process became stable within the limit."""


@dataclass(frozen=True)
class NoiseRecord:
    """What else the machine did while it was measured; none: this machine does not show it."""

    disturbed: bool
    """Whether turns that others disturbed had to be kept: their limit of repetitions was reached."""
    turns: int
    """Rounds that count: in each, every engine was timed for one block."""
    disturbed_turns: int
    """Of these, the disturbed ones."""
    repeated: int
    """Rounds that were thrown away and timed again."""
    reasons: tuple[str, ...]
    cores: int
    foreign_cores: float | None
    """Cores that other processes kept busy during the turns, on average."""
    foreign_cores_before: float | None
    steal_share: float | None
    """Share of the machine's time that other guests of the host took."""
    lost_share: float | None
    """Share of the timed calls' time in which their thread waited for a core."""
    preemptions: int
    slowest_spin: float
    """The slowest run of a fixed busy loop, in units of its fastest."""
    mhz: tuple[float, float] | None
    """Lowest and highest frequency that was seen."""
    celsius: float | None
    """Highest temperature that was seen."""
    clock_ns: int
    """The smallest step of the clock."""

    @classmethod
    def of(cls, value: JsonObject) -> "NoiseRecord":
        """Read what `asdict` wrote."""
        return read(cls, value)
