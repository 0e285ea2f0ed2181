"""The latency of single calls and how it was measured, cold starts, calls end to end, and energy."""

from collections.abc import Mapping

from artifacts.records.evidence import Evidence
from tightship.reporting import conditions
from tightship.reporting.pages import TEMPLATES
from tightship.reporting.plots import figures
from tightship.reporting.plots.axes import Figure
from tightship.reporting.plots.cold_start import cold_start, part_names
from tightship.reporting.sections.base import Section


def _data(evidence: Evidence) -> Mapping[str, object]:
    return {
        "most_curves": figures.MOST_CURVES,
        "warmup": conditions.warmup_text,
        "cold_parts": conditions.cold_parts,
        "part_names": part_names(evidence.artifacts),
    }


def _figures(evidence: Evidence) -> Mapping[str, Figure]:
    if not evidence.artifacts:
        return {}
    return {"distributions": figures.distributions(evidence), "cold": cold_start(evidence)}


LATENCY = Section(
    "latency", "Latency", "Latency of single calls", 400, TEMPLATES / "sections" / "latency.html.j2", _data, _figures
)
