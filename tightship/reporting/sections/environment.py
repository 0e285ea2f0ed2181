"""Where and from what the run was made: command, machine, data, recipe, noise and files."""

from collections.abc import Mapping

from artifacts.records.evidence import Evidence
from tightship.reporting.conditions import noise_facts
from tightship.reporting.pages import TEMPLATES, yaml_text
from tightship.reporting.sections.base import Section


def _data(evidence: Evidence) -> Mapping[str, object]:
    return {
        "noise": noise_facts(evidence.noise),
        "recipe": yaml_text(evidence.recipe),
        "data": yaml_text(evidence.data),
    }


ENVIRONMENT = Section("environment", "Environment", "Environment", 1200, TEMPLATES / "sections" / "environment.html.j2", _data)
