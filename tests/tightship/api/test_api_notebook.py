"""What a notebook shows of a run: a plot and a table, self-contained, without a script, and safe whatever things are called."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

import tightship as ts
from tightship.reporting.plots.svg import Scale, scatter
from tightship.reporting.views.notebook import render

HOSTILE = "</script><script>alert(1)</script> \x1b[31mred\x00\x07 \u202eevil\ud800 <b>&\"' <svg onload=x>"


def parsed(text):
    """The HTML read as XML, which is stricter: every element closed, every text escaped."""
    return ET.fromstring(text)


def test_a_run_is_a_verdict_a_plot_and_a_table(workplace):
    run = ts.load_run("runs/tiny")
    root = parsed(run._repr_html_())
    assert len(root.findall(".//table/tbody/tr")) == len(run.evidence.artifacts)
    points = root.findall(".//svg/circle")
    assert len(points) == len(run.evidence.artifacts)
    assert {point.find("title").text.partition(" ")[0] for point in points} == {a.id for a in run.evidence.artifacts}
    assert run.evidence.verdict.best in "".join(root.itertext())
    assert not root.findall(".//script")


def test_hostile_names_are_text(evidence_of, artifact):
    bad = artifact("a/b", 2.0, verdict="fail", id=HOSTILE, target=HOSTILE, notes=(HOSTILE,))
    evidence = replace(evidence_of(artifact("torch-cpu/reference"), bad, reasons=(HOSTILE,)), name=HOSTILE)
    text = render(evidence)
    root = parsed(text)
    assert {e.tag for e in root.iter()} <= {
        "div", "p", "b", "svg", "path", "circle", "title", "text", "g", "table", "thead", "tbody", "tr", "th", "td"
    }  # fmt: skip
    assert all(not name.startswith("on") for e in root.iter() for name in e.attrib)
    assert not any(sign in text for sign in ("\x1b", "\x00", "\u202e", "\ud800"))
    text.encode("utf-8")


def test_a_table_of_rows_is_escaped_too():
    table = ts.Table([{HOSTILE: HOSTILE, "n": None, "f": 0.123456, "b": True, "i": 1234}])
    root = parsed(table._repr_html_())
    assert [cell.text for cell in root.findall(".//td")][1:] == ["n/a", "0.1235", "yes", "1,234"]
    assert len(list(root.iter())) == 1 + 2 + 2 + 2 * 5


def test_a_run_without_artifacts_has_no_plot(evidence_of):
    root = parsed(render(evidence_of()))
    assert not root.findall(".//svg")
    assert not root.findall(".//table")


@pytest.mark.parametrize("accuracies", [(0.9, 0.9), (float("nan"), 0.5), (12.0, 31.0)], ids=str)
@pytest.mark.parametrize("latencies", [(1.0, 1.0), (0.001, 900.0), (2.0, 3.0)], ids=str)
def test_every_point_lies_inside_the_plot(artifact, accuracies, latencies):
    records = [
        replace(artifact(f"onnxruntime-cpu/p{n}", p50), accuracy=replace(artifact().accuracy, deployed=value))
        for n, (p50, value) in enumerate(zip(latencies, accuracies, strict=True))
    ]
    root = parsed(scatter(records))
    points = [(float(c.get("cx")), float(c.get("cy"))) for c in root.findall("circle")]
    assert len(points) == sum(value == value for value in accuracies)
    assert all(70 <= x <= 620 and 14 <= y <= 254 for x, y in points)
    assert len(root.findall("text")) >= 4, "the axes carry numbers"


def test_the_faster_of_two_lies_to_the_left_and_the_better_above(artifact):
    fast = replace(artifact("onnxruntime-cpu/a", 1.0), accuracy=replace(artifact().accuracy, deployed=0.7))
    slow = replace(artifact("onnxruntime-cpu/b", 4.0), accuracy=replace(artifact().accuracy, deployed=0.9))
    (x1, y1), (x2, y2) = [(float(c.get("cx")), float(c.get("cy"))) for c in parsed(scatter([fast, slow])).findall("circle")]
    assert x1 < x2
    assert y1 > y2


def test_ticks_are_round_and_inside():
    assert Scale(0.0, 10.0, 0, 100).ticks() == [0.0, 5.0, 10.0]
    assert Scale(1.0, 1000.0, 0, 100, log=True).ticks() == [1.0, 10.0, 100.0, 1000.0]


def test_a_measurement_shows_itself():
    row = {"p50_ms": 0.5, "ci95_ms": [0.0, None], "processes": 1, "threads": 1, "batch": 1, "bytes": 12}
    row["noise"] = {"disturbed": True}
    found = ts.Measurement(row)
    assert found.interval is None
    assert "no interval" in str(found)
    assert "DISTURBED" in str(found)
    parsed(found._repr_html_())
