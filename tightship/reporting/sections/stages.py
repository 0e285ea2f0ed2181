"""What each stage of the chain did to the model, and the bytes after it."""

from collections.abc import Mapping
from functools import partial

from artifacts.records.evidence import AccuracyRecord, Evidence, StageRecord
from tightship.reporting.formatting import MISSING, number, percent, size
from tightship.reporting.pages import TEMPLATES, count
from tightship.reporting.plots import figures
from tightship.reporting.plots.axes import Figure
from tightship.reporting.scores import score
from tightship.reporting.sections.base import Section

FIGURES = ("accuracy", "parameters", "macs", "bytes", "sparsity")
"""The metrics of a stage that have a column of their own."""


def _data(evidence: Evidence) -> Mapping[str, object]:
    scored = next((a.accuracy for a in evidence.artifacts), None)
    return {"stage_figures": FIGURES, "figure": partial(_figure, scored), "others": _others}


def _figures(evidence: Evidence) -> Mapping[str, Figure]:
    staged = any("bytes" in stage.metrics for stage in evidence.stages)
    return {"sizes": figures.sizes(evidence)} if staged or evidence.artifacts else {}


def _figure(scored: AccuracyRecord | None, stage: StageRecord, name: str) -> str:
    value = stage.metrics.get(name)
    if name == "macs" and stage.details.get("uncounted"):
        return "unknown" if value is None else f"over {count(value)}"
    if value is None:
        return MISSING
    if name == "accuracy" and scored is not None and scored.unit is not None:
        return score(value, scored)
    if name in ("accuracy", "sparsity"):
        return percent(value) if 0 <= value <= 1 else number(value, 4)
    return size(value) if name == "bytes" else count(value)


def _others(stage: StageRecord) -> str:
    """The metrics without a column, on one line."""
    rest = {k: v for k, v in stage.metrics.items() if k not in FIGURES}
    return ", ".join(f"{k} {number(v, 4)}" for k, v in rest.items())


STAGES = Section("stages", "Stages", "What each stage did", 300, TEMPLATES / "sections" / "stages.html.j2", _data, _figures)
