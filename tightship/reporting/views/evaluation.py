"""A judged run in words: the same lines in the terminal and in the Markdown summary of a CI job."""

from collections.abc import Sequence

from artifacts.records.evidence import GateRecord
from tightship.reporting.escaping import escape
from tightship.reporting.formatting import clean

Results = Sequence[tuple[str, GateRecord]]


def headline(name: str, results: Results) -> str:
    """How many checks there were and how many failed."""
    failed = sum(not gate.passed for _, gate in results)
    if not results:
        return f"Gate of {clean(name)}: FAILED, nothing was judged"
    return f"Gate of {clean(name)}: {f'FAILED, {failed} of {len(results)}' if failed else f'passed, {len(results)}'} checks"


def lines(results: Results) -> list[str]:
    """One line for each check, the failed ones first."""
    sorted_ = sorted(results, key=lambda result: result[1].passed)
    return [f"{'pass' if gate.passed else 'FAIL'}  {clean(name)}  {clean(gate.reason)}" for name, gate in sorted_]


def as_text(name: str, results: Results, notes: Sequence[str] = ()) -> str:
    """The checks for a terminal, with the headline last, where the eye is."""
    return "\n".join([*lines(results), *map(clean, notes), headline(name, results)])


def as_markdown(name: str, results: Results, notes: Sequence[str] = ()) -> str:
    """The same text as a section of a Markdown page, with the headline first."""
    bullets = "\n".join(f"- {escape(line)}" for line in lines(results))
    return "\n\n".join(filter(None, (f"## {escape(headline(name, results))}", bullets, *map(escape, notes)))) + "\n"
