"""One registry for every kind of plug: our own list first, then what other distributions bring by entry points.

A record says its `name` and the `api` that it was written for. An entry point is named after its record, or after the first
of several, and its value names a record or a sequence of records: `onnx-reference = "own_runtime:TARGETS"`. It is loaded
when a name is looked up that our own list lacks, or when everything is listed. One that cannot be used is a sentence in
`failures`, and nothing else breaks by it.
"""

import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, Protocol, TypeVar

from artifacts.errors import RequestError, nearest


class Plug(Protocol):
    """What every record says of itself."""

    @property
    def name(self) -> str:
        """What recipes and the command line call it."""
        ...

    @property
    def api(self) -> int:
        """The major version of the interface that it was written for."""
        ...


T = TypeVar("T", bound=Plug)

REGISTRIES = (
    "runtimes.registry:TARGETS",
    "export.registry:FORMATS",
    "compress.losses:LOSSES",
    "compress.criteria:CRITERIA",
    "compress.quantizers:QUANTIZERS",
    "zoo.metrics:METRICS",
    "tightship.gating.gates:GATES",
    "tightship.gating.baseline_limits:BASELINE_LIMITS",
    "tightship.reporting.sections:SECTIONS",
)
"""Every kind of plug, as `module:NAME`; what `tightship doctor` looks through. Theirs are the groups `tightship.*`."""


@dataclass(frozen=True)
class Failure:
    """An entry point that cannot be used."""

    name: str
    """The entry point."""
    distribution: str
    """Who brings it: name and version."""
    reason: str
    """One sentence."""


class Registry(Mapping[str, T], Generic[T]):
    """Records by name, ours in the order of our list.

    >>> Registry("target", "tightship.runtimes", Target, ["runtimes.ncnn.targets:TARGETS"]).find("ncnn-cpu").name
    'ncnn-cpu'

    Args:
        kind: what a record is called in sentences, such as `target`.
        group: the group of entry points, such as `tightship.runtimes`.
        record: the type of the records.
        own: our records, or `module:NAME` of a record or a sequence of them; loaded when the registry is first read.
        api: the major version of the interface; a record of another one is refused.
    """

    def __init__(self, kind: str, group: str, record: type[T], own: Iterable[str | T], api: int = 1) -> None:
        self.kind, self.group, self.record, self.api = kind, group, record, api
        self._own = tuple(own)
        self._ours: dict[str, T] | None = None
        self._waiting: dict[str, list[EntryPoint]] | None = None
        self._brought: dict[str, T] = {}
        self._origins: dict[str, str] = {}
        self._failures: list[Failure] = []

    def __getitem__(self, name: str) -> T:
        if name not in self._read() and name not in self._brought:
            self._load(name)
        if name not in self._read() and name not in self._brought:
            # a record may have another name than its entry point
            self._load()
        return self._read()[name] if name in self._read() else self._brought[name]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter([*self._read(), *self._brought])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def find(self, name: str) -> T:
        """The record with this name.

        Raises:
            RequestError: there is none; the message names the nearest, or says why the plug-in of this name cannot be used.
        """
        found = self.get(name)
        if found is not None:
            return found
        for failure in self._failures:
            if failure.name == name:
                raise RequestError(f"{self.kind} {name!r} of {failure.distribution} cannot be used: {failure.reason}")
        raise RequestError(f"unknown {self.kind} {name!r}; {nearest(name, self)}.")

    def own(self) -> Mapping[str, T]:
        """Our records alone; no entry point is looked at."""
        return dict(self._read())

    def add(self, record: T) -> None:
        """A record for this process alone: whatever runs in a child process does not know it.

        Raises:
            RequestError: the name is taken.
        """
        if record.name in self:
            raise RequestError(f"there is a {self.kind} {record.name!r} already.")
        self._brought[record.name] = record

    @property
    def added(self) -> tuple[str, ...]:
        """The names of the records that this process alone knows."""
        return tuple(name for name in self._brought if name not in self._origins)

    def origin(self, name: str) -> str | None:
        """The distribution that brings a record by an entry point; none for ours."""
        self.find(name)
        return self._origins.get(name)

    def failures(self) -> tuple[Failure, ...]:
        """The entry points that cannot be used; loads all of them."""
        self._load()
        return tuple(self._failures)

    def _read(self) -> dict[str, T]:
        if self._ours is None:
            listed = [r for own in self._own for r in (self._records(named(own)) if isinstance(own, str) else (own,))]
            self._ours = {record.name: record for record in listed}
            assert len(self._ours) == len(listed), f"two {self.kind}s of one name"
        return self._ours

    def _load(self, name: str | None = None) -> None:
        """Load the entry points of a name, or those that were not loaded yet."""
        if self._waiting is None:
            self._waiting = {}
            for point in entry_points(group=self.group):
                self._waiting.setdefault(point.name, []).append(point)
        for wanted in sorted(self._waiting) if name is None else [name]:
            for point in self._waiting.pop(wanted, []):
                self._take(point)

    def _take(self, point: EntryPoint) -> None:
        try:
            records = self._records(point.load())
            for record in records:
                self._check(record)
        except Refused as error:
            self._fail(point, str(error))
        except (Exception, SystemExit) as error:  # whatever another's module does as it is imported
            lines = str(error).strip().splitlines() or ["no message"]
            self._fail(point, f"{point.value} cannot be loaded ({type(error).__name__}: {lines[0]}).")
        else:
            self._brought |= {record.name: record for record in records}
            self._origins |= {record.name: point.dist.name for record in records if point.dist}

    def _check(self, record: T) -> None:
        if record.api != self.api:
            raise Refused(
                f"{record.name!r} was written for version {record.api} of the {self.kind} interface, and this is version"
                f" {self.api}: install a release of it for this one."
            )
        if record.name in self._read() or record.name in self._brought:
            raise Refused(f"there is a {self.kind} {record.name!r} already: give it another name.")

    def _records(self, loaded: object) -> list[T]:
        listed = list(loaded) if isinstance(loaded, (tuple, list)) else [loaded]
        records = [record for record in listed if isinstance(record, self.record)]
        for other in (record for record in listed if not isinstance(record, self.record)):
            raise Refused(f"it names a {type(other).__name__}, and {self.group} takes a {self.record.__name__}.")
        return records

    def _fail(self, point: EntryPoint, reason: str) -> None:
        brought_by = f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"
        self._failures.append(Failure(point.name, brought_by, reason))


class Refused(Exception):
    """A record that is there and cannot be taken, in one sentence."""


def named(where: str) -> Any:
    """What `module:name` names, imported now."""
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)
