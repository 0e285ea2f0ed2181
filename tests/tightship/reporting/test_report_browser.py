"""The page in headless Chromium: no errors, and controls that act."""

import json
import re
from html import unescape

import pytest

from tightship.reporting.plots import figures
from tightship.reporting.views import html


@pytest.mark.slow
def test_targets_and_front_act_on_plot_and_table_together(tmp_path, make_evidence, browse):
    evidence = make_evidence(24)
    script = """
    const seen = () => ({
      rows: [...document.querySelectorAll('#table-artifacts tbody tr')].filter((r) => !r.hidden).map((r) => r.dataset.id),
      points: document.getElementById('plot-tradeoff').data.slice(1).flatMap((t) => t.x).filter((x) => x !== null).length,
      front: document.getElementById('plot-tradeoff').data[0].x.length });
    const said = [seen()];
    document.querySelectorAll('#table-artifacts th button')[2].click();
    document.querySelector('.chip[data-target="openvino-cpu"]').click(); said.push(seen());
    document.getElementById('front-only').click(); said.push(seen());
    document.getElementById('every-target').click(); said.push(seen());
    document.getElementById('front-only').click();
    const words = document.getElementById('filter-artifacts');
    words.value = 'torch-cpu fp32'; words.dispatchEvent(new Event('input')); said.push(seen());
    document.body.dataset.said = JSON.stringify(said);"""
    dom = browse(tmp_path, html.render(evidence), script)
    assert 'data-errors="0"' in dom
    said = json.loads(unescape(re.search(r'data-said="([^"]*)"', dom)[1]))
    openvino = [a for a in evidence.artifacts if a.target == "openvino-cpu"]
    fronts = [{a.id for a in figures.front(artifacts)} for artifacts in (evidence.artifacts, openvino)]
    named = {a.id for a in evidence.artifacts if "torch-cpu/fp32" in a.id}
    wanted = [{a.id for a in evidence.artifacts}, {a.id for a in openvino}, fronts[1], fronts[0]]
    assert [set(s["rows"]) for s in said[:4]] == wanted
    assert named
    assert set(said[4]["rows"]) >= named
    assert len(said[4]["rows"]) < 24
    assert all(s["points"] == len(s["rows"]) for s in said)
    assert [s["front"] for s in said[:4]] == [len(fronts[0]), len(fronts[1]), len(fronts[1]), len(fronts[0])]


def test_the_table_of_artifacts_fits_a_laptop(tmp_path, make_evidence, browse):
    script = """
    const table = document.getElementById('table-artifacts');
    document.body.dataset.said = JSON.stringify([table.scrollWidth, table.closest('.scroll').clientWidth]);"""
    dom = browse(tmp_path, html.render(make_evidence(6)), script, width=1280)
    table, room = json.loads(unescape(re.search(r'data-said="([^"]*)"', dom)[1]))
    assert 1000 < table <= room


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 9, 200])
def test_page_loads_without_errors_and_sorts_in_a_browser(tmp_path, count, make_evidence, browse):
    clicks = "document.querySelectorAll('#table-artifacts th button').forEach((b, n) => n === 5 && b.click());"
    dom = browse(tmp_path, html.render(make_evidence(count)), clicks)
    assert 'data-ready="1"' in dom
    assert 'data-errors="0"' in dom
    ids = re.findall(r'<tr class="is-[^"]*"[^>]* data-id="([^"]+)"', dom)
    wanted = sorted(make_evidence(count).artifacts, key=lambda a: a.latency_ms.p50)
    assert ids == [a.id for a in wanted]
    assert dom.count("main-svg") >= (3 if count else 0)
