"""The report for the person who decides what to ship: one HTML file that needs no network and no server."""

from markupsafe import Markup

from artifacts.records.evidence import Evidence
from tightship.reporting import formatting
from tightship.reporting.conditions import disturbance
from tightship.reporting.pages import render_page, render_part
from tightship.reporting.plots.axes import Figure
from tightship.reporting.plots.figures import drawn
from tightship.reporting.scores import against_reference, drop_heading
from tightship.reporting.sections import Section, in_order

MOST_OPEN_ROWS = 60
"""A detail table with more rows starts folded."""


def render(evidence: Evidence) -> str:
    """The whole report as one HTML page."""
    sections = [section for section in in_order() if section.template and section.shown(evidence)]
    figures = {name: figure for section in sections for name, figure in section.figures(evidence).items()}
    return render_page(
        "report.html.j2",
        run=evidence,
        artifacts=evidence.artifacts,
        sections=[(section, _body(section, evidence, figures)) for section in sections],
        best=formatting.best_of(evidence),
        headline=formatting.headline(evidence),
        failed_checks=sum(len(formatting.failures(a)) for a in evidence.artifacts),
        choosing=True,
        disturbance=disturbance(evidence.noise),
        against_reference=against_reference,
        bytes_against_reference=formatting.bytes_against_reference,
        speedup=formatting.speedup,
        figures=figures,
    )


def _body(section: Section, evidence: Evidence, figures: dict[str, Figure]) -> Markup:
    """What stands below a section's heading."""
    assert section.template
    return render_part(
        section.template,
        run=evidence,
        artifacts=formatting.ordered(evidence.artifacts),
        figures=figures,
        drawn=len(drawn(evidence.artifacts)),
        drop_heading=drop_heading(evidence.artifacts),
        most_open_rows=MOST_OPEN_ROWS,
        **section.data(evidence),
    )
