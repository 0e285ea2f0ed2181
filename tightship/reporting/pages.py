"""What all HTML pages share: the templates' environment, plotly.js, and how values become text on a page."""

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from artifacts.errors import TargetUnavailable
from tightship.reporting import formatting, scores

if TYPE_CHECKING:
    from jinja2 import Environment, Template

TEMPLATES = Path(__file__).parent / "templates"


def render_page(template: str, **values: object) -> str:
    """A self-contained HTML page: no network, every text escaped.

    Raises:
        TargetUnavailable: plotly, which brings the script that draws, is not installed.
    """
    return environment().get_template(template).render(plotly=plotly(), **values)


def render_part(template: Path, **values: object) -> Markup:
    """A part of a page, escaped as a page is; the template may import what is beside the pages' own."""
    return Markup(_compiled(template).render(**values))


@cache
def _compiled(template: Path) -> "Template":
    return environment().from_string(template.read_text(encoding="utf-8"))


@cache
def environment() -> "Environment":
    """Where the templates are read; every text is escaped, and a name that is not given is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        autoescape=True,
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    said = (formatting.interval, formatting.number, formatting.p99, formatting.p99_value, formatting.percent, formatting.short,
            formatting.size, formatting.failures, formatting.options_text, scores.score, scores.drop, scores.drop_text,
            raw, count)  # fmt: skip
    made.filters |= {function.__name__: function for function in said}
    return made


@cache
def plotly() -> Markup:
    """The text of plotly.js from the installed plotly package, which is not imported: that takes half a second."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise TargetUnavailable("the report needs plotly, which is not installed; run `pip install plotly`.")
    text = (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    # inside a script element these two would end it or change how its end is found
    return Markup(text.replace("</script", "<\\/script").replace("<!--", "<\\!--"))


def yaml_text(value: object) -> str:
    """A value as YAML, its keys in the order given."""
    import yaml

    text: str = yaml.safe_dump(_plain(value), sort_keys=False, allow_unicode=True, width=100)
    return text


def raw(value: float | None) -> str:
    """The value that a column sorts by; empty sorts last."""
    return repr(value) if value is not None and isfinite(value) else ""


def count(value: float | None) -> str:
    """A count as people say it: 41.2 M."""
    if value is None or not isfinite(value):
        return formatting.MISSING
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{formatting.number(value / limit)} {unit}"
    return f"{value:g}"


def _finalize(value: object) -> object:
    """Every text that reaches a page loses the characters that hide, reorder or control."""
    return formatting.scrub(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _plain(value: object) -> object:
    """The value in the types that YAML knows."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)
