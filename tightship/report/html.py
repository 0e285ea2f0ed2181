"""The report for the person who decides what to ship: one HTML file that needs no network and no server."""

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from artifacts.errors import TargetUnavailable
from artifacts.evidence import AccuracyRecord, ArtifactRecord, Evidence, StageRecord
from tightship.report import figures, markdown
from tightship.report.ladder import ladders

if TYPE_CHECKING:
    from jinja2 import Environment

STAGE_FIGURES = ("accuracy", "parameters", "macs", "bytes", "sparsity")
"""The metrics of a stage that have a column of their own."""

MOST_OPEN_ROWS = 60
"""A detail table with more rows starts folded."""


def render(evidence: Evidence) -> str:
    """The whole report as one HTML page."""
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            run=evidence,
            artifacts=markdown.ordered(evidence.artifacts),
            best=markdown.best_of(evidence),
            headline=markdown.headline(evidence),
            failed_checks=sum(len(markdown.failures(a)) for a in evidence.artifacts),
            gates=_gates(evidence),
            ladders=ladders(evidence),
            figures=_figures(evidence),
            drop_heading="Drop, points" if all(markdown.is_share(a.accuracy) for a in evidence.artifacts) else "Drop",
            drawn=len(figures.drawn(evidence.artifacts)),
            most_curves=figures.MOST_CURVES,
            most_open_rows=MOST_OPEN_ROWS,
            stage_figures=STAGE_FIGURES,
            recipe=_yaml(evidence.recipe),
            data=_yaml(evidence.data),
            plotly=_plotly(),
        )
    )


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        autoescape=True,
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    words = (
        "interval",
        "number",
        "p99",
        "p99_value",
        "percent",
        "short",
        "score",
        "size",
        "drop",
        "drop_text",
        "failures",
    )
    made.filters |= {name: getattr(markdown, name) for name in words}
    made.filters |= {"raw": _raw, "count": _count, "operators": _operators, "figure": _stage_figure}
    made.filters |= {"others": _other_metrics, "parts": _accuracy_parts}
    made.globals |= {
        "against_reference": markdown.against_reference,
        "bytes_against_reference": markdown.bytes_against_reference,
        "bytes_share": _bytes_share,
        "speedup": markdown.speedup,
        "stock_share": markdown.stock_share,
        "verdict_order": markdown.VERDICT_ORDER.index,
    }
    return made


def _finalize(value: Any) -> Any:
    """Every text that reaches the page loses the characters that hide, reorder or control."""
    return markdown.scrub(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _plotly() -> Markup:
    """The text of plotly.js from the installed plotly package, which is not imported: that takes half a second."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise TargetUnavailable("the report needs plotly, which is not installed; run `pip install plotly`.")
    text = (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    # inside a script element these two would end it or change how its end is found
    return Markup(text.replace("</script", "<\\/script").replace("<!--", "<\\!--"))


def _figures(evidence: Evidence) -> dict[str, Any]:
    """The figures by the name of their place on the page; none without something to draw."""
    if not evidence.artifacts:
        staged = any("bytes" in stage.metrics for stage in evidence.stages)
        return {"sizes": figures.sizes(evidence)} if staged else {}
    return {
        "tradeoff": figures.tradeoff(evidence),
        "sizes": figures.sizes(evidence),
        "distributions": figures.distributions(evidence),
    }


def _gates(evidence: Evidence) -> list[tuple[ArtifactRecord, Any]]:
    """Every gate with its artifact, the failed ones first."""
    pairs = [(a, gate) for a in markdown.ordered(evidence.artifacts) for gate in a.gates]
    return sorted(pairs, key=lambda pair: pair[1].passed)


def _yaml(value: Any) -> str:
    import yaml

    text: str = yaml.safe_dump(_plain(value), sort_keys=False, allow_unicode=True, width=100)
    return text


def _plain(value: Any) -> Any:
    """The value in the types that YAML knows."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def _raw(value: float | None) -> str:
    """The value that a column sorts by; empty sorts last."""
    return repr(value) if value is not None and isfinite(value) else ""


def _count(value: float | None) -> str:
    """A count as people say it: 41.2 M."""
    if value is None or not isfinite(value):
        return markdown.MISSING
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{markdown.number(value / limit)} {unit}"
    return f"{value:g}"


def _operators(counts: Mapping[str, int]) -> str:
    """Operator counts on one line, the most frequent first."""
    return ", ".join(f"{n} {name}" for name, n in sorted(counts.items(), key=lambda kv: (-kv[1], kv[0])))


def _stage_figure(stage: StageRecord, name: str) -> str:
    value = stage.metrics.get(name)
    if value is None:
        return markdown.MISSING
    if name in ("accuracy", "sparsity"):
        return markdown.percent(value) if 0 <= value <= 1 else markdown.number(value, 4)
    return markdown.size(value) if name == "bytes" else _count(value)


def _other_metrics(stage: StageRecord) -> str:
    rest = {k: v for k, v in stage.metrics.items() if k not in STAGE_FIGURES}
    return ", ".join(f"{k} {markdown.number(v, 4)}" for k, v in rest.items())


def _bytes_share(evidence: Evidence, record: ArtifactRecord) -> float | None:
    reference = markdown.reference_of(evidence, record)
    return record.bytes / reference.bytes if reference is not None and reference.bytes else None


def _accuracy_parts(accuracy: AccuracyRecord) -> str:
    """Reference and simulated values on one line."""
    parts = (("reference", accuracy.reference), ("simulated", accuracy.simulated))
    return ", ".join(f"{name} {markdown.score(value, accuracy)}" for name, value in parts)
