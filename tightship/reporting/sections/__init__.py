"""The sections of a run's views, one file a section or two, and the one list of them."""

from artifacts.plugins import Registry
from tightship.reporting.sections.base import API, Section

__all__ = ["SECTIONS", "Section", "in_order"]

SECTIONS: Registry[Section] = Registry(
    "section of the report",
    "tightship.report_sections",
    Section,
    [
        "tightship.reporting.sections.tradeoff:TRADEOFF",
        "tightship.reporting.sections.artifacts:ARTIFACTS",
        "tightship.reporting.sections.failed:FAILED",
        "tightship.reporting.sections.comparisons:AGAINST_STOCK",
        "tightship.reporting.sections.comparisons:AGAINST_FIRST_ROW",
        "tightship.reporting.sections.stages:STAGES",
        "tightship.reporting.sections.speed.latency:LATENCY",
        "tightship.reporting.sections.accuracy_guard:ACCURACY_GUARD",
        "tightship.reporting.sections.gates:GATES",
        "tightship.reporting.sections.speed.loop:LOOP",
        "tightship.reporting.sections.checks:PARITY",
        "tightship.reporting.sections.scores.outputs:OUTPUTS",
        "tightship.reporting.sections.scores.per_class:PER_CLASS",
        "tightship.reporting.sections.checks:PLACEMENT",
        "tightship.reporting.sections.speed.roofline:ROOFLINE",
        "tightship.reporting.sections.sensitivity:SENSITIVITY",
        "tightship.reporting.sections.not_run:NOT_RUN",
        "tightship.reporting.sections.environment:ENVIRONMENT",
    ],
    API,
)
"""By the anchor on the page. Those of other distributions are shown wherever they are installed."""


def in_order() -> list[Section]:
    """All sections, as views show them."""
    return sorted(SECTIONS.values(), key=lambda section: section.order)
