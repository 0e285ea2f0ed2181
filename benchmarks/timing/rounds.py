"""The turns of one round: every engine is asked in random order, on one core, and all again where others disturbed."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from artifacts.types import Arrays
from benchmarks.process.answers import Timed
from benchmarks.process.child import Child
from benchmarks.process.end_to_end import Scaling
from benchmarks.process.stopwatch import Block
from benchmarks.timing.cores import OneCore
from benchmarks.timing.energy import Device, Meter
from benchmarks.timing.noise import Counters, NoiseMonitor
from runtimes.registry import TARGETS

T = TypeVar("T", bound=Timed)


@dataclass(frozen=True)
class EndToEnd:
    """Calls from the raw example to the labels."""

    raw: Arrays
    """One raw example by the name of the input, (1, C, H, W)."""
    scaling: Scaling
    same: bool
    """Whether it is the very example that latency is measured on, so that the outputs must be equal."""
    labels: int = 5
    """How many of the likeliest are looked for."""


@dataclass
class Rounds:
    """Takes turns with the processes of one round."""

    children: Mapping[str, Child]
    shuffle: random.Random
    watch: NoiseMonitor
    meter: Meter
    spare: int
    """How many disturbed turns may still be thrown away."""

    def take(self, count: int, ask: Callable[[Child], T], slices: int = 1) -> dict[str, list[T]]:
        """The answers of so many turns that count, `slices` of each engine in a turn; those of one slice stand at one place."""
        kept: dict[str, list[T]] = {name: [] for name in self.children}
        core, done = OneCore(self.children.values()), 0
        while done < count:
            begun = Counters.now()
            with core.turn():
                answers = self._turn(ask, slices, core)
            blocks = [Block.merged([answer.seen for answer in told]) for told in answers.values()]
            turn = self.watch.turn(blocks, begun)
            if turn.reasons and self.spare > 0:
                self.spare -= 1
                self.watch.repeated += 1
                continue
            self.watch.keep(turn)
            done += 1
            for name, told in answers.items():
                kept[name] += told
        return kept

    def _turn(self, ask: Callable[[Child], T], slices: int, core: OneCore) -> dict[str, list[T]]:
        answers: dict[str, list[T]] = {name: [] for name in self.children}
        for _ in range(slices):
            order: Sequence[str] = self.shuffle.sample(list(self.children), len(self.children))
            for name in order:
                answers[name].append(self._metered(self.children[name], ask))
                core.follow(self.children[name])
        return answers

    def _metered(self, child: Child, ask: Callable[[Child], T]) -> T:
        begun = self.meter.read()
        answer = ask(child)
        return replace(answer, watts=self.meter.watts(begun, device_of(child.engine.target)))


def device_of(target: str) -> Device:
    """What a target runs on; one that only the child knows counts as a CPU's."""
    found = TARGETS.get(target)
    return found.device if found else "cpu"


def energy_mj(answers: Sequence[Timed]) -> float | None:
    """Millijoules of one call: mean power while called, times the mean latency; none where it cannot be read.

    >>> energy_mj([Timed([1_000_000, 3_000_000], Block(4_000_000, 0, None, 0, 0), watts=20.0)])
    40.0
    """
    spent = 0.0
    for answer in answers:
        if answer.watts is None:
            return None
        spent += answer.watts * sum(answer.ns)
    return spent / sum(len(answer.ns) for answer in answers) / 1e6
