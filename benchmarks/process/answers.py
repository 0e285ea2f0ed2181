"""What a measuring child answers: one dataclass a request, written by the worker and read by its parent."""

from dataclasses import dataclass

from benchmarks.process.stopwatch import Block


@dataclass(frozen=True)
class Opened:
    """The parts of a cold start since the process began to run Python, in ms."""

    python: float
    """Until the first request is read."""
    imports: float
    load: float
    first_run: float
    ended_ns: float
    """On the monotonic clock: when the first run was over."""
    load_rss_mb: float
    """Peak resident set until the file was loaded, in MB of 10^6 bytes."""


@dataclass(frozen=True)
class ColdStart:
    """From the start of a process to the end of its first call, in ms."""

    python: float
    imports: float
    load: float
    first_run: float
    total: float
    load_rss_mb: float

    @property
    def process(self) -> float:
        """What starting the process took, before it ran Python."""
        return self.total - sum((self.python, self.imports, self.load, self.first_run))

    def times_ms(self) -> dict[str, float]:
        """Every part by the name that evidence has for it, and `total`."""
        return {
            "python": self.python, "import": self.imports, "load": self.load, "first_run": self.first_run,
            "total": self.total, "process": self.process,
        }  # fmt: skip


@dataclass(frozen=True)
class Looped:
    """Loops of calls, each step fed what the step before gave."""

    seconds: list[float]
    """Of each loop."""


@dataclass(frozen=True)
class Warmed:
    """A warm-up: the calls that were made, and where the latency became stable."""

    calls: int
    warm_calls: int
    """Calls before it was stable."""
    warm_ms: float
    """The time that these took."""
    settled: bool
    """Whether it became stable within the limit."""


@dataclass(frozen=True)
class Timed:
    """Single calls, one after the other."""

    ns: list[int]
    """Of each call."""
    seen: Block
    """What the process saw meanwhile."""
    watts: float | None = None
    """Mean power meanwhile, where energy can be read: the parent reads it."""


@dataclass(frozen=True, kw_only=True)
class TimedTogether(Timed):
    """Calls that began at a given moment, as those of other processes did."""

    late_ms: float
    """How much later than that moment they began."""


@dataclass(frozen=True, kw_only=True)
class TimedParts(Timed):
    """Calls from a raw example to the labels, with the nanoseconds of each part."""

    pre: list[int]
    inference: list[int]
    post: list[int]

    def parts(self) -> dict[str, list[int]]:
        """The nanoseconds of each part by its name, and of the `whole`."""
        return {"pre": self.pre, "inference": self.inference, "post": self.post, "whole": self.ns}


@dataclass(frozen=True)
class Memory:
    """Peak resident sets in MB of 10^6 bytes."""

    peak_rss_mb: float
    load_rss_mb: float
    """Until the file was loaded."""
    run_rss_mb: float
    """Since then, where the system can tell them apart."""


@dataclass(frozen=True)
class Tensors:
    """The tensors inside a file, which the child wrote numbered from 0."""

    names: list[str]
    """In the order of the computation."""


@dataclass(frozen=True)
class LoadAnswer:
    """One run of LoadGen inside the child."""

    answered: dict[str, int]
    """`queries`, `samples` and `calls`."""
    checked: int
    """Samples whose outputs LoadGen logged and that equal those of plain runs."""
    seen: Block
