"""The report for the person who decides what to ship: one HTML file that needs no network and no server."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from artifacts.evidence import ArtifactRecord, Evidence, StageRecord
from tightship.report import figures, sensitivity, surroundings, words
from tightship.report.ladder import ladders
from tightship.report.pages import count, environment, render_page, yaml_text
from tightship.report.roofline import absent, roofline_figure, roofline_rows
from tightship.report.rows import row_ratio
from tightship.report.start import cold_start, part_names

STAGE_FIGURES = ("accuracy", "parameters", "macs", "bytes", "sparsity")
"""The metrics of a stage that have a column of their own."""

MOST_OPEN_ROWS = 60
"""A detail table with more rows starts folded."""


def render(evidence: Evidence) -> str:
    """The whole report as one HTML page."""
    _teach()
    return render_page(
        "report.html.j2",
        run=evidence,
        artifacts=words.ordered(evidence.artifacts),
        targets=list(dict.fromkeys(sorted(a.target for a in evidence.artifacts))),
        on_front={a.id for a in figures.front(evidence.artifacts)},
        best=words.best_of(evidence),
        headline=words.headline(evidence),
        failed_checks=sum(len(words.failures(a)) for a in evidence.artifacts),
        choosing=True,
        disturbance=surroundings.disturbance(evidence.noise),
        noise=surroundings.noise_facts(evidence.noise),
        gates=_gates(evidence),
        ladders=ladders(evidence),
        roofline_rows=roofline_rows(evidence),
        no_roofline=absent(evidence),
        sensitivity_rows=sensitivity.sensitivity_rows(evidence),
        no_sensitivity=sensitivity.absent(evidence),
        figures=_figures(evidence),
        drop_heading="Drop, points" if all(words.is_share(a.accuracy) for a in evidence.artifacts) else "Drop",
        drawn=len(figures.drawn(evidence.artifacts)),
        most_curves=figures.MOST_CURVES,
        most_open_rows=MOST_OPEN_ROWS,
        stage_figures=STAGE_FIGURES,
        recipe=yaml_text(evidence.recipe),
        data=yaml_text(evidence.data),
    )


@cache
def _teach() -> None:
    """Give the templates what only this page says."""
    made = environment()
    made.filters |= {
        "operators": _operators,
        "absence": words.absence,
        "figure": _stage_figure,
        "others": _other_metrics,
        "warmup": surroundings.warmup_text,
        "cold_parts": surroundings.cold_parts,
        "part_names": part_names,
        "time_outside": surroundings.time_outside,
    }
    made.globals |= {
        "against_reference": words.against_reference,
        "bytes_against_reference": words.bytes_against_reference,
        "bytes_share": _bytes_share,
        "speedup": words.speedup,
        "stock_share": words.stock_share,
        "row_ratio": row_ratio,
        "amount": sensitivity.amount,
        "unit": sensitivity.unit,
        "verdict_order": words.VERDICT_ORDER.index,
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
    pairs = [(a, gate) for a in words.ordered(evidence.artifacts) for gate in a.gates]
    return sorted(pairs, key=lambda pair: pair[1].passed)


def _operators(counts: Mapping[str, int]) -> str:
    """Operator counts on one line, the most frequent first."""
    return ", ".join(f"{n} {name}" for name, n in sorted(counts.items(), key=lambda kv: (-kv[1], kv[0])))


def _stage_figure(stage: StageRecord, name: str) -> str:
    value = stage.metrics.get(name)
    if value is None:
        return words.MISSING
    if name in ("accuracy", "sparsity"):
        return words.percent(value) if 0 <= value <= 1 else words.number(value, 4)
    return words.size(value) if name == "bytes" else count(value)


def _other_metrics(stage: StageRecord) -> str:
    rest = {k: v for k, v in stage.metrics.items() if k not in STAGE_FIGURES}
    return ", ".join(f"{k} {words.number(v, 4)}" for k, v in rest.items())


def _bytes_share(evidence: Evidence, record: ArtifactRecord) -> float | None:
    reference = words.reference_of(evidence, record)
    return record.bytes / reference.bytes if reference is not None and reference.bytes else None
