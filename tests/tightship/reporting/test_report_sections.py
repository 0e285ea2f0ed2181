"""Sections are what the views are made of: ours have all they name, and another distribution's stands among them."""

import json
import re

import pytest

from tightship.reporting.escaping import bulleted
from tightship.reporting.pages import TEMPLATES
from tightship.reporting.sections import SECTIONS, Section, in_order
from tightship.reporting.views.markdown import summary

PAGE = """\
{% from "common.html.j2" import td, table with context %}
<div class="plot" id="plot-loudness" role="img" aria-label="How loud the machine was."></div>
{% call table("loudness", "How loud the machine was", [("Artifact", ""), ("dB", "n")]) %}
{% for a in artifacts %}<tr><th scope="row">{{ a.id }}</th>{{ td(loud(a) | number, loud(a)) }}</tr>{% endfor %}
{% endcall %}
"""


@pytest.fixture
def loudness(monkeypatch, tmp_path):
    """A section of another distribution, between gates and parity."""
    (tmp_path / "loudness.html.j2").write_text(PAGE)
    monkeypatch.setattr(SECTIONS, "_brought", {})
    SECTIONS.add(
        Section(
            "loudness",
            "Loudness",
            "Loudness of the machine",
            650,
            tmp_path / "loudness.html.j2",
            lambda evidence: {"loud": lambda artifact: 1000 * artifact.latency_ms.p50},
            lambda evidence: {"loudness": {"data": [{"type": "bar", "y": [1, 2]}], "layout": {}}},
            markdown=lambda evidence: bulleted("Loudness", [f"<b>{a.id}</b>" for a in evidence.artifacts]),
            terminal=lambda evidence, out: out.print("loud", len(evidence.artifacts)),
        )
    )


def test_a_section_of_somebody_else_is_in_every_view(make_evidence, page, printed, loudness):
    evidence = make_evidence(3)
    text = page(evidence)
    assert '<li><a href="#loudness">Loudness</a></li>' in text
    assert re.findall(r'<h2 id="([^"]+)">', text)[4:7] == ["gates", "loudness", "parity"]
    assert (
        f'<tr><th scope="row">{evidence.artifacts[0].id}</th><td class="n" data-v="' in text.partition('id="table-loudness"')[2]
    )
    assert json.loads(re.search(r'id="figures">(.*?)</script>', text, re.S)[1])["loudness"]["data"][0]["y"] == [1, 2]
    assert f"- \\<b\\>{evidence.artifacts[0].id}\\</b\\>" in summary(evidence)
    assert "loud 3" in printed(evidence)


def test_what_it_shows_is_escaped_like_ours(hostile_evidence, page, loudness):
    text = page(hostile_evidence).partition('id="table-loudness"')[2].partition("</table>")[0]
    assert "&lt;/script&gt;" in text
    assert "<script" not in text


def test_every_section_has_its_template_and_every_template_its_section():
    files = {path.name for path in (TEMPLATES / "sections").iterdir()}
    assert files == {section.template.name for section in SECTIONS.own().values() if section.template}
    orders = [section.order for section in in_order()]
    assert orders == sorted(set(orders))


def test_a_page_lists_the_sections_that_it_has(make_evidence, page):
    text = page(make_evidence(3))
    listed, there = re.findall(r'<li><a href="#([^"]+)">', text), re.findall(r'<section aria-labelledby="([^"]+)">', text)
    assert listed == there, "no guard made a file, so there is no section of it"
    assert "guard" not in there
