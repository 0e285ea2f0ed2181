"""Accuracy against latency of all artifacts, with the front."""

from collections.abc import Mapping

from artifacts.records.evidence import Evidence
from tightship.reporting.pages import TEMPLATES
from tightship.reporting.plots import figures
from tightship.reporting.plots.axes import Figure
from tightship.reporting.sections.base import Section


def _data(evidence: Evidence) -> Mapping[str, object]:
    return {"targets": sorted({a.target for a in evidence.artifacts})}


def _figures(evidence: Evidence) -> Mapping[str, Figure]:
    return {"tradeoff": figures.tradeoff(evidence)} if evidence.artifacts else {}


TRADEOFF = Section(
    "tradeoff", "Trade-off", "Accuracy against latency", 100, TEMPLATES / "sections" / "tradeoff.html.j2", _data, _figures
)
