"""How far the outputs of each artifact are from those of the model that it was converted from."""

from tightship.reporting.pages import TEMPLATES
from tightship.reporting.sections.base import Section

PARITY = Section("parity", "Parity", "Parity with the source model", 700, TEMPLATES / "sections" / "parity.html.j2")
