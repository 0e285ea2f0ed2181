"""The report for the person who decides what to ship: one HTML file that needs no network and no server."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from artifacts.records.evidence import AccuracyRecord, ArtifactRecord, Evidence, StageRecord
from tightship.reporting import formatting
from tightship.reporting.pages import count, environment, render_page, yaml_text
from tightship.reporting.plots import figures
from tightship.reporting.sections import conditions, sensitivity
from tightship.reporting.sections.accuracy_guard import guard_tables
from tightship.reporting.sections.cold_start import cold_start, part_names
from tightship.reporting.sections.labeled_rows import row_ratio
from tightship.reporting.sections.roofline import absent, roofline_figure, roofline_rows

STAGE_FIGURES = ("accuracy", "parameters", "macs", "bytes", "sparsity")
"""The metrics of a stage that have a column of their own."""

MOST_OPEN_ROWS = 60
"""A detail table with more rows starts folded."""


def render(evidence: Evidence) -> str:
    """The whole report as one HTML page."""
    register_filters()
    return render_page(
        "report.html.j2",
        run=evidence,
        artifacts=formatting.ordered(evidence.artifacts),
        targets=list(dict.fromkeys(sorted(a.target for a in evidence.artifacts))),
        on_front={a.id for a in figures.front(evidence.artifacts)},
        best=formatting.best_of(evidence),
        headline=formatting.headline(evidence),
        failed_checks=sum(len(formatting.failures(a)) for a in evidence.artifacts),
        choosing=True,
        disturbance=conditions.disturbance(evidence.noise),
        noise=conditions.noise_facts(evidence.noise),
        gates=_gates(evidence),
        guards=guard_tables(evidence),
        roofline_rows=roofline_rows(evidence),
        no_roofline=absent(evidence),
        sensitivity_rows=sensitivity.sensitivity_rows(evidence),
        no_sensitivity=sensitivity.absent(evidence),
        figures=_figures(evidence),
        drop_heading="Drop, points" if all(formatting.is_share(a.accuracy) for a in evidence.artifacts) else "Drop",
        drawn=len(figures.drawn(evidence.artifacts)),
        most_curves=figures.MOST_CURVES,
        most_open_rows=MOST_OPEN_ROWS,
        stage_figures=STAGE_FIGURES,
        accuracy=next((a.accuracy for a in evidence.artifacts), None),
        recipe=yaml_text(evidence.recipe),
        data=yaml_text(evidence.data),
    )


@cache
def register_filters() -> None:
    """Give the templates what only this page says."""
    made = environment()
    made.filters |= {
        "operators": _operators,
        "absence": formatting.absence,
        "figure": _stage_figure,
        "others": _other_metrics,
        "warmup": conditions.warmup_text,
        "cold_parts": conditions.cold_parts,
        "part_names": part_names,
        "time_outside": conditions.time_outside,
    }
    made.globals |= {
        "against_reference": formatting.against_reference,
        "bytes_against_reference": formatting.bytes_against_reference,
        "bytes_share": _bytes_share,
        "speedup": formatting.speedup,
        "stock_share": formatting.stock_share,
        "row_ratio": row_ratio,
        "amount": sensitivity.amount,
        "unit": sensitivity.unit,
        "verdict_order": formatting.VERDICT_ORDER.index,
    }


def _figures(evidence: Evidence) -> dict[str, Any]:
    """The figures by the name of their place on the page; none without something to draw."""
    if not evidence.artifacts:
        staged = any("bytes" in stage.metrics for stage in evidence.stages)
        return {"sizes": figures.sizes(evidence)} if staged else {}
    roofs = roofline_figure(evidence)
    return {
        "tradeoff": figures.tradeoff(evidence),
        "sizes": figures.sizes(evidence),
        "distributions": figures.distributions(evidence),
        "cold": cold_start(evidence),
        **({"roofline": roofs} if roofs else {}),
    }


def _gates(evidence: Evidence) -> list[tuple[ArtifactRecord, Any]]:
    """Every gate with its artifact, the failed ones first."""
    pairs = [(a, gate) for a in formatting.ordered(evidence.artifacts) for gate in a.gates]
    return sorted(pairs, key=lambda pair: pair[1].passed)


def _operators(counts: Mapping[str, int]) -> str:
    """Operator counts on one line, the most frequent first."""
    return ", ".join(f"{n} {name}" for name, n in sorted(counts.items(), key=lambda kv: (-kv[1], kv[0])))


def _stage_figure(stage: StageRecord, name: str, accuracy: AccuracyRecord | None) -> str:
    value = stage.metrics.get(name)
    if value is None:
        return formatting.MISSING
    if name == "accuracy" and accuracy is not None and accuracy.unit is not None:
        return formatting.score(value, accuracy)
    if name in ("accuracy", "sparsity"):
        return formatting.percent(value) if 0 <= value <= 1 else formatting.number(value, 4)
    return formatting.size(value) if name == "bytes" else count(value)


def _other_metrics(stage: StageRecord) -> str:
    rest = {k: v for k, v in stage.metrics.items() if k not in STAGE_FIGURES}
    return ", ".join(f"{k} {formatting.number(v, 4)}" for k, v in rest.items())


def _bytes_share(evidence: Evidence, record: ArtifactRecord) -> float | None:
    reference = formatting.reference_of(evidence, record)
    return record.bytes / reference.bytes if reference is not None and reference.bytes else None
