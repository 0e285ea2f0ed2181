"""How far the outputs of each artifact are from those of its network, and which operators run in the accelerated kernels."""

from collections.abc import Mapping

from artifacts.records.evidence import Evidence
from tightship.reporting.conditions import time_outside
from tightship.reporting.pages import TEMPLATES
from tightship.reporting.sections.base import Section


def _operators(counts: Mapping[str, int]) -> str:
    """Operator counts on one line, the most frequent first."""
    return ", ".join(f"{n} {name}" for name, n in sorted(counts.items(), key=lambda kv: (-kv[1], kv[0])))


def _data(evidence: Evidence) -> Mapping[str, object]:
    return {"operators": _operators, "time_outside": time_outside}


PARITY = Section("parity", "Parity", "Parity with the source model", 700, TEMPLATES / "sections" / "parity.html.j2")
PLACEMENT = Section(
    "placement", "Placement", "Placement of operators", 800, TEMPLATES / "sections" / "placement.html.j2", _data
)
