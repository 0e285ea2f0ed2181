"""The views of a run's evidence: an HTML report, a terminal table, a Markdown summary, and JUnit XML.

Every view is a pure function of `artifacts.records.evidence.Evidence`: none measures, judges or rounds in another's place.
"""

from pathlib import Path

from artifacts.records.evidence import Evidence

__all__ = ["write_views"]


def write_views(evidence: Evidence, folder: Path) -> tuple[Path, ...]:
    """Write `report.html`, `summary.md` and `junit.xml` into a folder, each atomically, and return their paths."""
    from artifacts.files import write_atomic
    from tightship.reporting.views import html, junit, markdown

    views = {
        "report.html": html.render(evidence),
        "summary.md": markdown.summary(evidence),
        "junit.xml": junit.render(evidence),
    }
    for name, text in views.items():
        write_atomic(folder / name, text)
    return tuple(folder / name for name in views)
