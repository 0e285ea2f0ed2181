"""Calls from a raw example to the likeliest labels, by the code that bundles ship, each part timed."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from artifacts.pictures import likeliest, prepare
from artifacts.types import Arrays


@dataclass(frozen=True)
class Scaling:
    """What `artifacts.pictures.prepare` takes besides the picture."""

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Parts:
    """A call in three parts, and the nanoseconds of each of them."""

    def __init__(self, raw: Arrays, how: Scaling, labels: int, run: Callable[[Arrays], Arrays]) -> None:
        self.raw, self.how, self.labels, self.run = raw, how, labels, run
        self.ns: dict[str, list[int]] = {"pre": [], "inference": [], "post": []}

    def __call__(self) -> Arrays:
        """One call; returns the outputs of the network."""
        clock, how = time.perf_counter_ns, self.how
        begun = clock()
        fed: Arrays = {
            name: np.ascontiguousarray(prepare(value, how.scale, how.mean, how.std)) for name, value in self.raw.items()
        }
        ready = clock()
        made = self.run(fed)
        ran = clock()
        scores = next(iter(made.values()))
        likeliest(scores.reshape(len(scores), -1), self.labels)
        ended = clock()
        for name, spent in (("pre", ready - begun), ("inference", ran - ready), ("post", ended - ran)):
            self.ns[name].append(spent)
        return made

    def warm(self, calls: int) -> None:
        """So many calls that do not count."""
        for _ in range(calls):
            self()
        for spent in self.ns.values():
            spent.clear()

    def timed(self, seconds: float, calls: int) -> tuple[list[int], Arrays]:
        """Nanoseconds of whole calls until both `seconds` and `calls` are over, and the outputs of the last."""
        end = time.perf_counter_ns() + int(seconds * 1e9)
        last: Arrays = {}
        while len(self.ns["pre"]) < calls or time.perf_counter_ns() < end:
            last = self()
        return [sum(parts) for parts in zip(*self.ns.values(), strict=True)], last
