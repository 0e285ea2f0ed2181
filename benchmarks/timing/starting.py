"""Start the processes of a round: one after the other, so that each cold start has the machine alone, or side by side."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from artifacts.types import Engine
from benchmarks.process.answers import ColdStart, Warmed
from benchmarks.process.child import Child


@dataclass(frozen=True)
class Started:
    """A process that is ready to be timed."""

    child: Child
    cold: ColdStart
    warmup: Warmed


@dataclass(frozen=True)
class Starting:
    """What all processes of a round have in common."""

    engines: Mapping[str, Engine]
    first: Path
    """The inputs of the calls."""
    threads: int
    warm_seconds: float
    stack: ExitStack
    """Ends the processes."""

    def one(self, name: str) -> Started:
        """A process that has loaded its engine and is warm."""
        log = self.first.with_name(f"{name.replace('/', '-')}.log")
        child = self.stack.enter_context(Child(self.engines[name], log, self.threads))
        cold = child.open(self.first)
        return Started(child, cold, child.warm(self.first, self.warm_seconds))

    def side_by_side(self, names: list[str], cores: int) -> dict[str, Started]:
        """All of them, as many at once as have cores of their own."""
        with ThreadPoolExecutor(max(1, cores // self.threads)) as pool:
            return dict(zip(names, pool.map(self.one, names), strict=True))
