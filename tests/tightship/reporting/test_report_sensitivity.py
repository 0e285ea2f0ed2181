"""The sensitivity of layers in evidence and report: what is said of it, and what stands where there is none."""

import json
import re
from dataclasses import replace
from html import unescape

import pytest

from artifacts.records.evidence import read_evidence
from artifacts.records.sensitivity import LossRecord, SensitiveLayer, SensitivityRecord
from tightship.reporting import pages
from tightship.reporting.sections.sensitivity import absent, advice, as_rows, heads, measured, sensitivity_rows
from tightship.reporting.views import html, tables

HOSTILE = "</script><script>alert(1)</script>`<b>&"
INT8 = "onnxruntime-cpu/int8-ptq"
FOUND = SensitivityRecord(
    examples=256, metric="top1", reference=0.95, whole=LossRecord(4.0, 0.12, 0.02, 47_000), between_db=31.0,
    layers=(
        SensitiveLayer("layer1.0.conv1", 147_456, 9_280, 4.5, 0.11, 0.02, 0.93, 0.031),
        SensitiveLayer("conv1", 18_432, 640, 22.0, 0.0, 0.005, 0.07, None),
        SensitiveLayer("odd", 100, 40, None, reason="FX converted no layer"),
    ),
    in_float=("linear",), keep=("layer1.0.conv1",), kept=LossRecord(24.0, 0.01, 0.004, 54_000),
)  # fmt: skip


def text_of(page):
    """The page's own words, without the library that draws."""
    return unescape(page.replace(str(pages.plotly()), ""))


def section_of(page):
    return re.search(r'<section aria-labelledby="sensitivity">.*?</section>', page, re.S)[0]


def test_the_section_has_loss_and_cost_of_every_layer(artifact, evidence_of):
    section = section_of(html.render(evidence_of(artifact(), artifact(INT8, sensitivity=FOUND))))
    rows = [re.sub(r"<[^>]+>|\s+", " ", row).split() for row in re.findall(r"<tr><th scope=\"row\">.*?</tr>", section, re.S)]
    assert rows[0] == ["layer1.0.conv1", "4.50", "11", "±", "2", "93.0", "%", "3.1", "%", "147", "k", "9.28", "kB"]
    assert rows[1] == ["conv1", "22.0", "0", "±", "0.5", "7.0", "%", "n/a", "18.4", "k", "640", "bytes"]
    assert rows[2] == ["odd", "FX", "converted", "no", "layer", "n/a", "n/a", "n/a", "n/a", "100", "40", "bytes"]
    assert "<details open><summary>onnxruntime-cpu/int8-ptq: 3 layers, most sensitive layer1.0.conv1" in section
    text = unescape(section)
    assert "keep_float: [linear, layer1.0.conv1]" in text
    assert "In float already: linear." in text
    assert "Drop, points" in text


def test_it_stands_beside_the_costliest_layers_and_in_the_navigation(artifact, evidence_of):
    page = html.render(evidence_of(artifact(INT8, sensitivity=FOUND)))
    order = [page.index(f'<h2 id="{name}">') for name in ("roofline", "sensitivity", "not-run")]
    assert order == sorted(order)
    assert '<a href="#sensitivity">' in page


def test_where_there_is_none_one_line_says_how_to_get_it(artifact, evidence_of):
    asked = evidence_of(artifact(INT8))
    assert absent(asked) in text_of(html.render(asked))
    assert "measure: {sensitivity: true}" in absent(asked)
    assert "inspect RECIPE --sensitivity" in absent(asked)
    assert absent(evidence_of(artifact())) == "No artifact of this run is in int8 by calibration or training."
    assert "<table" not in section_of(html.render(asked))
    assert absent(evidence_of(artifact(INT8, sensitivity=FOUND))) is None


def test_names_of_layers_stay_text(artifact, evidence_of):
    layer = replace(FOUND.layers[0], layer=HOSTILE, reason=HOSTILE)
    hostile = replace(FOUND, layers=(layer,), keep=(HOSTILE,), in_float=(HOSTILE,), metric=HOSTILE)
    own = html.render(evidence_of(artifact(HOSTILE, sensitivity=hostile))).replace(str(pages.plotly()), "")
    assert own.lower().count("<script") == own.lower().count("</script") == 4
    assert "<b>&`" not in own
    hidden = replace(hostile, layers=(replace(layer, layer="a\x1b[31m\u202eb"),))
    assert as_rows(hidden)[0][0] == "a[31mb"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, "brings the drop from 12 to 1 points, the SQNR from 4.00 to 24.0 dB and the file from 47.0 kB to 54.0 kB"),
        ({"whole": LossRecord(24.0, 0.003, 0.002, 47_000)}, "These examples show no loss (a drop of 0.3 points"),
        ({"keep": (), "kept": None}, "No few layers make most of the noise"),
        ({"kept": None}, "layer1.0.conv1 makes most of the noise, but with it in float nothing is left in int8."),
        ({"kept": LossRecord(5.0, 0.11, 0.02, 54_000)}, "was tried and wins back nothing that these examples show"),
        ({"whole": LossRecord(-200.0, None, None, 47_000)}, "brings the drop from n/a to 1 points"),
    ],
)
def test_one_sentence_says_what_to_do(change, says):
    assert says in advice(replace(FOUND, **change))


def test_a_metric_that_is_no_share_is_not_in_points():
    other = replace(FOUND, metric="negative-mse", reference=-0.5)
    assert heads(other)[2] == "drop"
    assert as_rows(other)[0][2] == "0.110"
    assert "points" not in measured(other) + advice(other)


def test_evidence_with_it_reads_back_and_older_evidence_reads(artifact, evidence_of, tmp_path):
    evidence = evidence_of(artifact(INT8, sensitivity=FOUND))
    evidence.write(tmp_path / "evidence.json")
    assert read_evidence(tmp_path / "evidence.json") == evidence
    value = json.loads((tmp_path / "evidence.json").read_text())
    del value["artifacts"][0]["sensitivity"]
    (tmp_path / "evidence.json").write_text(json.dumps(value))
    assert read_evidence(tmp_path / "evidence.json").artifacts[0].sensitivity is None


def test_artifacts_come_in_the_order_of_their_table_and_the_flat_tables_stay(artifact, evidence_of):
    slow, fast = artifact(INT8, p50=2.0, sensitivity=FOUND), artifact("openvino-cpu/int8-ptq", sensitivity=FOUND)
    assert [row.artifact.id for row in sensitivity_rows(evidence_of(slow, fast))] == [fast.id, slow.id]
    assert tables.as_csv(evidence_of(slow)) == tables.as_csv(evidence_of(replace(slow, sensitivity=None)))
