"""Which classes the artifact to ship tells apart less well than the reference, and which ones it takes for which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from artifacts.records.evidence import ArtifactRecord, Evidence
from artifacts.records.per_class import ClassRecord, PerClassRecord
from tightship.reporting.escaping import bulleted
from tightship.reporting.formatting import MISSING, best_of, clean, ordered, percent, reference_of
from tightship.reporting.pages import TEMPLATES
from tightship.reporting.sections.base import Section

MOST_LINES = 5
"""Classes that the Markdown summary names."""


@dataclass(frozen=True)
class ClassRow:
    """One class on the artifact, and on the reference where that is known."""

    name: str
    ours: ClassRecord
    theirs: ClassRecord | None

    @property
    def drop(self) -> float | None:
        """How much F1 it lost against the reference, in points; negative is a gain."""
        if self.theirs is None or self.theirs.f1 is None or self.ours.f1 is None:
            return None
        return 100 * (self.theirs.f1 - self.ours.f1)


@dataclass(frozen=True)
class PairRow:
    """One class that the artifact takes for another."""

    target: str
    answer: str
    count: int
    reference: int | None
    """How often the reference does; none where that is not known."""


@dataclass(frozen=True)
class ClassTables:
    """The figures of one artifact beside those of the reference."""

    artifact: ArtifactRecord
    found: PerClassRecord
    reference: str | None
    """The reference's id, where it has figures of the same classes."""
    rows: list[ClassRow]
    """The class that lost most first; without a reference the one that is told worst."""
    pairs: list[PairRow]
    names: list[str]
    """Of the rows and columns of `table`."""
    table: list[list[tuple[int, int | None, float]]]
    """Of each true class (row) and answer (column): how often, how often on the reference, and the share of the row."""


def tables_of(evidence: Evidence) -> ClassTables | None:
    """What is shown: the best artifact's, or where none ships that of the first that has figures."""
    best = best_of(evidence)
    candidates = ([best] if best else []) + [a for a in ordered(evidence.artifacts) if a.role == "compressed"]
    chosen = next((a for a in [*candidates, *evidence.artifacts] if a.per_class), None)
    if chosen is None or chosen.per_class is None:
        return None
    found, base = chosen.per_class, reference_of(evidence, chosen)
    theirs = base.per_class if base and base is not chosen else None
    if theirs and theirs.classes != found.classes:
        theirs = None
    names = _Names(evidence.data.get("labels"))
    return ClassTables(
        chosen, found, base.id if base and theirs else None, _rows(found, theirs, names), _pairs(found, theirs, names),
        [names.of(number) for number in range(len(found.counts or ()))], _table(found, theirs),
    )  # fmt: skip


class _Names:
    """The names of classes, from the data's labels."""

    def __init__(self, labels: object) -> None:
        self.labels = labels if isinstance(labels, Sequence) and not isinstance(labels, str) else ()

    def of(self, number: int) -> str:
        """The label, or the number where there is none."""
        name = clean(str(self.labels[number])) if number < len(self.labels) else ""
        return name or f"class {number}"


def _rows(found: PerClassRecord, theirs: PerClassRecord | None, names: _Names) -> list[ClassRow]:
    known = {one.number: one for one in theirs.figures} if theirs else {}
    rows = [ClassRow(names.of(one.number), one, known.get(one.number)) for one in found.figures]
    return sorted(rows, key=lambda row: (_last_if_none(row.drop, -1), _last_if_none(row.ours.f1, 1)))


def _last_if_none(value: float | None, sign: int) -> float:
    return float("inf") if value is None else sign * value


def _pairs(found: PerClassRecord, theirs: PerClassRecord | None, names: _Names) -> list[PairRow]:
    listed = {(one.target, one.answer): one.count for one in theirs.confusions} if theirs else {}

    def reference(target: int, answer: int) -> int | None:
        if theirs and theirs.counts:
            return theirs.counts[target][answer]
        return listed.get((target, answer))

    return [
        PairRow(names.of(one.target), names.of(one.answer), one.count, reference(one.target, one.answer))
        for one in found.confusions
    ]


def _table(found: PerClassRecord, theirs: PerClassRecord | None) -> list[list[tuple[int, int | None, float]]]:
    other = theirs.counts if theirs else None
    return [
        [(count, other[at][place] if other else None, count / max(1, sum(row))) for place, count in enumerate(row)]
        for at, row in enumerate(found.counts or ())
    ]


def lines(evidence: Evidence) -> list[str]:
    """One sentence for each of the classes that lost most against the reference; none where none lost."""
    found = tables_of(evidence)
    if found is None:
        return []
    lost = [(row, row.drop) for row in found.rows[:MOST_LINES] if row.drop is not None and row.drop >= 0.005]
    return [
        f"{row.name}: F1 {percent(row.ours.f1)}, {drop:.2f} points below {clean(str(found.reference))} "
        f"({row.ours.support:,} of {found.found.positions:,})"
        for row, drop in lost
    ]


def points(value: float | None) -> str:
    """A drop in points, with the sign of a gain."""
    return MISSING if value is None else f"{round(value, 2) + 0.0:.2f}"


def _data(evidence: Evidence) -> Mapping[str, object]:
    return {"per_class": tables_of(evidence), "points": points}


def _markdown(evidence: Evidence) -> Sequence[str]:
    found = tables_of(evidence)
    return bulleted(f"Classes that lost most in {clean(found.artifact.id)}", lines(evidence)) if found else []


PER_CLASS = Section(
    "per-class",
    "Classes",
    "Classes: figures and confusions",
    750,
    TEMPLATES / "sections" / "per_class.html.j2",
    _data,
    shown=lambda evidence: any(a.per_class for a in evidence.artifacts),
    markdown=_markdown,
)
