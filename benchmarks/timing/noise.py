"""What else the machine did while it was measured: seen, recorded, and timed again where it disturbed.

Three signs, each readable on other machines, so that at least one is readable everywhere:

- lost: how long the timed thread was ready to run but had to wait for a core (`/proc/thread-self/schedstat`, Linux);
- external: the CPU time of all processes but ours, and the time stolen by other guests (`psutil`, `/proc/stat`);
- spin: how long a fixed busy loop takes against its own best, which also sees what the guest's counters do not.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil

from artifacts.openmp import usable_cores
from artifacts.records.noise import Disturbance, NoiseRecord
from benchmarks.process.stopwatch import Block, clock_step_ns

LOST_LIMIT = 0.05
"""Share of a block's time that its thread may wait for a core."""
FOREIGN_LIMIT = 0.10
"""Share of the machine's cores that others may use."""
STEAL_LIMIT = 0.02
"""Share of the machine's time that other guests may take."""
SPIN_LIMIT = 1.25
"""How much slower than its best the busy loop may be."""
SHORTEST = 0.1
"""Seconds below which the kernel's counters, which tick every 10 ms, say nothing."""


@dataclass(frozen=True)
class Counters:
    """The machine's CPU time in seconds since it started, and this process's own."""

    at: float
    busy: float
    stolen: float | None
    own: float

    @classmethod
    def now(cls) -> "Counters | None":
        """Read them; none where the kernel keeps none (some sandboxes write zeros)."""
        times = psutil.cpu_times()
        busy = sum(getattr(times, k, 0.0) for k in ("user", "system", "irq", "softirq", "nice"))
        if busy <= 0:
            return None
        return cls(time.monotonic(), busy, getattr(times, "steal", None), time.process_time())


@dataclass
class Round:
    """One block of every engine, timed one after the other."""

    blocks: list[Block]
    foreign_cores: float | None
    steal: float | None
    reasons: list[Disturbance] = field(default_factory=list)


class NoiseMonitor:
    """Looks at each turn of a measurement and says whether it was disturbed."""

    def __init__(self) -> None:
        self.cores = usable_cores()
        self.kept: list[Round] = []
        self.repeated = 0
        self.before: float | None = None
        self.clock_ns = clock_step_ns()
        self._best_spin = math.inf
        self._mhz: list[float] = []
        self._celsius: list[float] = []

    def look_first(self, seconds: float = 0.2) -> None:
        """What others use while nothing of ours runs."""
        begun = Counters.now()
        time.sleep(seconds)
        self.before = self._foreign(begun, Counters.now(), 0.0)[0]
        self.sample()

    def sample(self) -> None:
        """Read frequency and temperature, where the machine shows them."""
        frequency = psutil.cpu_freq() if hasattr(psutil, "cpu_freq") else None
        if frequency and frequency.current:
            self._mhz.append(float(frequency.current))
        sensors = psutil.sensors_temperatures() if hasattr(psutil, "sensors_temperatures") else {}
        self._celsius += [float(s.current) for group in sensors.values() for s in group if s.current]

    def turn(self, blocks: Sequence[Block], begun: Counters | None) -> Round:
        """Judge one turn that began at `begun` and has just ended."""
        own = sum(b.cpu_ns for b in blocks) / 1e9
        external, steal = self._foreign(begun, Counters.now(), own)
        found = Round(list(blocks), external, steal)
        self._best_spin = min(self._best_spin, *(b.spin_ns for b in blocks))
        lost = max((b.lost for b in blocks if b.lost is not None and b.wall_ns >= SHORTEST * 1e9), default=0.0)
        slowest = max(b.spin_ns for b in blocks) / self._best_spin
        if lost > LOST_LIMIT:
            found.reasons.append(Disturbance.WAITED)
        if external is not None and external > FOREIGN_LIMIT * self.cores:
            found.reasons.append(Disturbance.FOREIGN)
        if steal is not None and steal > STEAL_LIMIT:
            found.reasons.append(Disturbance.STEAL)
        if slowest > SPIN_LIMIT and sum(b.wall_ns for b in blocks) >= SHORTEST * 1e9:
            found.reasons.append(Disturbance.SPIN)
        return found

    def keep(self, turn: Round) -> None:
        """The turn counts."""
        self.kept.append(turn)

    def _foreign(self, begun: Counters | None, ended: Counters | None, children: float) -> tuple[float | None, float | None]:
        if begun is None or ended is None or ended.at - begun.at < SHORTEST:
            return None, None
        seconds = ended.at - begun.at
        others = ended.busy - begun.busy - (ended.own - begun.own) - children
        steal = None
        if begun.stolen is not None and ended.stolen is not None:
            steal = (ended.stolen - begun.stolen) / seconds / self.cores
        return max(0.0, others / seconds), steal

    def record(self) -> NoiseRecord:
        """All of it, as evidence."""
        bad = [t for t in self.kept if t.reasons]
        blocks = [b for t in self.kept for b in t.blocks]
        spins = [b.spin_ns / self._best_spin for b in blocks]
        return NoiseRecord(
            disturbed=bool(bad), turns=len(self.kept), disturbed_turns=len(bad), repeated=self.repeated,
            reasons=tuple(sorted({str(r) for t in bad for r in t.reasons})), cores=self.cores,
            foreign_cores=_mean([t.foreign_cores for t in self.kept]), foreign_cores_before=self.before,
            steal_share=_mean([t.steal for t in self.kept]), lost_share=_mean([b.lost for b in blocks]),
            preemptions=sum(b.preempted for b in blocks), slowest_spin=max(spins, default=1.0),
            mhz=(min(self._mhz), max(self._mhz)) if self._mhz else None,
            celsius=max(self._celsius, default=None), clock_ns=self.clock_ns,
        )  # fmt: skip


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None
