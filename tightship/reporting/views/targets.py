"""The targets of a run side by side: one table of what each file scores, takes and leaves outside the fast kernels."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifacts.records.evidence import ArtifactRecord, Evidence
from runtimes.registry import TARGETS
from tightship.reporting.conditions import disturbance, outside
from tightship.reporting.escaping import escape
from tightship.reporting.formatting import clean, float_ratio, headline, interval, number, options_text, size
from tightship.reporting.scores import score

if TYPE_CHECKING:
    from rich.console import Console

HEADS = (
    "target", "precision", "verdict", "accuracy", "p50, ms", "fp32 / this", "peak RSS, MB", "kB", "parity, rms", "outside",
)  # fmt: skip
"""The columns; the first three hold words, the others figures."""

_WORDS = 3

LEGEND = (
    "fp32 / this: the latency of the fp32 file of the same network on the same target in units of this file's, paired by "
    "round, with its 95 % interval. Peak RSS: of the process that runs it. Parity: root mean square of the difference to the "
    "network that the file was made from (of a file with trained ranges: to its simulation), in spreads (standard "
    "deviations) of the output. Outside: the share of operators outside the runtime's accelerated kernels, as it tells "
    "itself, and of the time where it tells that."
)
_NO_RATIO = "fp32 / this was not recorded by the version that made this run; run the recipe again to have it."


@dataclass(frozen=True)
class TargetTable:
    """The table as text; every figure stands in the evidence."""

    caption: str
    rows: tuple[tuple[str, ...], ...]
    """One cell for each of `HEADS`."""
    notes: tuple[str, ...]
    """What must be read with it: noise, what was not run, the machine, the columns; one paragraph each."""


def target_table(evidence: Evidence) -> TargetTable:
    """Every artifact of a run, those of one target together, the targets by name."""
    chosen = sorted(evidence.artifacts, key=lambda a: a.target)
    return TargetTable(_caption(evidence), tuple(map(_row, chosen)), tuple(_notes(evidence)))


def as_markdown(evidence: Evidence) -> str:
    """The table as Markdown, the caption above it and the notes below."""
    made = target_table(evidence)
    lines = [f"| {' | '.join(map(escape, HEADS))} |", "|" + " --- |" * _WORDS + " ---: |" * (len(HEADS) - _WORDS)]
    lines += ["| " + " | ".join(map(escape, row)) + " |" for row in made.rows]
    return "\n\n".join((escape(made.caption), "\n".join(lines), *map(escape, made.notes))) + "\n"


def print_targets(evidence: Evidence, console: "Console | None" = None) -> None:
    """Print the table to a terminal; where no terminal tells its width, as wide as it is."""
    from tightship.reporting.console import grid, print_line, terminal

    out = console or terminal(plain_width=200)
    made = target_table(evidence)
    print_line(made.caption, out)
    heads = ("artifact", *HEADS[2:])
    rows = [(f"{target}/{precision}", *rest) for target, precision, *rest in made.rows]
    out.print(grid(heads, rows, heads[: _WORDS - 1], out))
    for note in made.notes:
        print_line(note, out)


def _row(a: ArtifactRecord) -> tuple[str, ...]:
    latency = a.latency_ms
    cells = (
        a.target,
        a.id.partition("/")[2],
        a.verdict,
        score(a.accuracy.deployed, a.accuracy),
        f"{number(latency.p50)} {interval(latency.ci95)}",
        float_ratio(a),
        number(a.peak_rss_mb),
        number(a.bytes / 1000),
        number(a.parity.rms_error) + ("" if a.parity.passed else " FAILED"),
        outside(a.placement),
    )
    return tuple(clean(cell) for cell in cells)


def _caption(evidence: Evidence) -> str:
    """What was measured and how, in one line."""
    said = [f"{clean(evidence.name)}: {headline(evidence)}."]
    records = evidence.artifacts
    if records:
        metrics = _listed(f"{a.accuracy.metric} on {a.accuracy.examples:,} test examples" for a in records)
        said.append(f"Accuracy: {metrics}, by the deployed file.")
        how = _listed(
            f"batch {a.latency_ms.batch}, {_count(a.latency_ms.threads, 'thread')}, {_count(a.latency_ms.processes, 'process')}"
            for a in records
        )
        said.append(f"Latency: {how} each, in turns, with 95 % intervals.")
    return " ".join(said)


def _notes(evidence: Evidence) -> Iterator[str]:
    disturbed = disturbance(evidence.noise)
    if disturbed:
        yield f"Disturbed. {disturbed}"
    elif evidence.noise is None:
        yield "Whether others disturbed the timing was not recorded by the version that made this run."
    else:
        yield f"The machine was quiet: {evidence.noise.turns:,} turns, {evidence.noise.repeated:,} of them timed again."
    if _ratios_missing(evidence):
        yield _NO_RATIO
    for record in evidence.artifacts:
        if record.options:
            yield f"{clean(record.id)} is opened with {options_text(record)}."
    absent = [f"{clean(missing.target)}: {clean(missing.reason)}" for missing in evidence.not_run if not missing.converted]
    for failed in evidence.failed:
        yield f"Failed at {failed.stage}: {clean(failed.id)}: {clean(failed.reason)}."
    if absent:
        yield f"Not run: {'; '.join(absent)}."
    for missing in evidence.not_run:
        if missing.converted:
            files = ", ".join(f"{clean(file.id)} ({size(file.bytes)})" for file in missing.converted)
            yield f"Converted and checked, not run: {files}: {clean(missing.reason)}."
    yield _machine(evidence)
    yield LEGEND
    yield f"Made by: {clean(evidence.command)}"


def _ratios_missing(evidence: Evidence) -> bool:
    """Whether a file has its fp32 file beside it, and yet no ratio to it was written."""
    floats = {a.id for a in evidence.artifacts if a.role == "compressed"}
    return any(
        a.versus_float is None and a.precision.startswith("int8") and f"{a.target}/{_float_name(a)}" in floats
        for a in evidence.artifacts
        if a.role == "compressed"
    )


def _float_name(a: ArtifactRecord) -> str:
    _, mark, label = a.precision.partition("@")
    return f"fp32{mark}{label}"


def _machine(evidence: Evidence) -> str:
    """The machine, and the versions of the libraries that decide what these targets compute and how fast."""
    machine = evidence.machine
    targets = {a.target for a in evidence.artifacts} & TARGETS.keys()
    wanted = {name for target in targets for name in TARGETS[target].libraries}
    versions = [f"{name} {version}" for name, version in machine.versions.items() if name in wanted]
    return f"Machine: {clean('; '.join((machine.fingerprint(), machine.os, f'Python {machine.python}', *versions)))}."


def _listed(texts: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(clean(text) for text in texts))


def _count(number_of: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number_of:,} {noun if number_of == 1 else plural}"
