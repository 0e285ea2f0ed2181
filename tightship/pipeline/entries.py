"""The finished steps of a run, found by name and kind."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from tightship.pipeline.stages.results import StageResult
from tightship.store import Entry

R = TypeVar("R", bound=StageResult)


class Entries(Mapping[str, Entry[StageResult]]):
    """Finished steps by name, in the order in which they finished."""

    def __init__(self) -> None:
        self._found: dict[str, Entry[StageResult]] = {}

    def __getitem__(self, name: str) -> Entry[StageResult]:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def add(self, name: str, entry: Entry[StageResult]) -> None:
        """Keep a step that finished."""
        self._found[name] = entry

    def of(self, name: str, kind: type[R]) -> R:
        """The result of a step, which is of this kind."""
        result = self._found[name].result
        assert isinstance(result, kind), f"{name} is a {type(result).__name__}, not a {kind.__name__}"
        return result
