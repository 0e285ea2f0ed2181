"""The figures of classes in evidence and report: what lost most first, names escaped, and old evidence as before."""

import json
import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from artifacts.records.evidence import read_evidence
from tightship.reporting import pages
from tightship.reporting.sections.scores.per_class import lines, points, tables_of
from tightship.reporting.views import html, markdown
from zoo.metrics import METRICS
from zoo.metrics.per_class import per_class

HOSTILE = "</script><script>alert(1)</script>`<b>&|\x1b[31m"
TRUE = np.repeat([0, 1, 2], 4)
REFERENCE, INT8 = "torch-cpu/reference", "onnxruntime-cpu/int8-ptq"


def figures(said, classes=3, true=TRUE):
    return per_class(METRICS["top1"], {"output": np.eye(classes)[said]}, true)


THEIRS = figures([0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2])
OURS = figures([0, 0, 0, 0, 1, 1, 1, 1, 2, 0, 0, 1])


@pytest.fixture
def evidence(artifact, evidence_of):
    """A run that ships an int8 file."""
    made = evidence_of(
        artifact(REFERENCE, role="reference", verdict="reference", per_class=THEIRS),
        artifact("onnxruntime-cpu/fp32", per_class=THEIRS),
        artifact(INT8, verdict="ship", per_class=OURS),
    )
    return replace(made, data={"labels": ["cat", "dog", "bird"]})


def section_of(evidence):
    page = html.render(evidence).replace(str(pages.plotly()), "")
    return re.search(r'<section aria-labelledby="per-class">.*?</section>', page, re.S)[0]


def cells(table):
    rows = re.findall(r"<tr><th scope=\"row\">.*?</tr>", table, re.S)
    return [re.sub(r"<[^>]+>|\s+", " ", row).split() for row in rows]


def test_what_lost_most_is_first_beside_the_reference(evidence):
    section = section_of(evidence)
    table = section.partition('id="table-per-class"')[2].partition("</table>")[0]
    rows = cells(table)
    # bird: F1 1 on the reference, 2 * 1 / (4 + 1) here
    assert rows[0][:5] == ["bird", "60.00", "40.00", "%", "100.00"]
    assert [row[0] for row in rows] == ["bird", "cat", "dog"]
    # cat: 2 * 3 / (4 + 3) on the reference, 2 * 4 / (4 + 6) here; dog: the same answers but one
    assert rows[1][1] == "5.71"
    assert rows[2][1] == "0.00"
    assert f"{INT8} on the whole test set, 12 answers that count" in unescape(section)


def test_confusions_stand_with_those_of_the_reference(evidence):
    section = section_of(evidence)
    table = section.partition('id="table-confusions"')[2].partition("</table>")[0]
    assert cells(table) == [["bird", "cat", "2", "0"], ["bird", "dog", "1", "0"]]
    counts = section.partition('id="table-confusion-counts"')[2].partition("</table>")[0]
    assert cells(counts) == [["cat", "4", "3", "0", "1", "0"], ["dog", "0", "4", "0"], ["bird", "2", "0", "1", "0", "1", "4"]]
    assert "var(--bad) 50.0%" in counts


def test_the_summary_names_the_classes_that_lost(evidence):
    assert lines(evidence) == [
        f"bird: F1 40.00 %, 60.00 points below {REFERENCE} (4 of 12)",
        f"cat: F1 80.00 %, 5.71 points below {REFERENCE} (4 of 12)",
    ]
    assert "### Classes that lost most in onnxruntime-cpu/int8-ptq" in markdown.summary(evidence)
    ships_the_same = replace(evidence, verdict=replace(evidence.verdict, best="onnxruntime-cpu/fp32"))
    assert "Classes that lost" not in markdown.summary(ships_the_same)


def test_names_are_text_wherever_they_stand(evidence):
    hostile = replace(evidence, data={"labels": [HOSTILE, "dog", HOSTILE]})
    section = section_of(hostile)
    assert "<script" not in section
    assert "\x1b" not in section
    assert "&lt;/script&gt;" in section
    assert not re.search(r"(?<!\\)<", markdown.summary(hostile)), "escaped"


@pytest.mark.parametrize("labels", [None, [], ["cat"], "abc", 3, {"0": "cat"}])
def test_classes_without_a_label_have_their_number(evidence, labels):
    found = tables_of(replace(evidence, data={"labels": labels}))
    assert {row.name for row in found.rows} >= {"class 1", "class 2"}
    assert section_of(replace(evidence, data={}))


def test_without_figures_of_the_reference_the_worst_is_first(evidence):
    alone = replace(evidence, artifacts=(replace(evidence.artifacts[0], per_class=None), evidence.artifacts[2]))
    found = tables_of(alone)
    assert found.reference is None
    assert [row.name for row in found.rows] == ["bird", "cat", "dog"]
    assert [row.drop for row in found.rows] == [None] * 3
    assert "the lowest F1 first" in section_of(alone)
    assert lines(alone) == []


def test_figures_of_other_classes_are_not_held_against_each_other(evidence):
    other = replace(evidence.artifacts[0], per_class=figures([0, 1, 3] * 4, 4, np.array([0, 1, 3] * 4)))
    assert tables_of(replace(evidence, artifacts=(other, evidence.artifacts[2]))).reference is None


def test_where_nothing_ships_the_first_that_was_judged_is_shown(evidence):
    failed = tuple(replace(a, verdict="fail") if a.role == "compressed" else a for a in evidence.artifacts)
    nothing = replace(evidence, artifacts=failed, verdict=replace(evidence.verdict, passed=False, shipped=(), best=None))
    assert tables_of(nothing).artifact.role == "compressed"
    only = replace(nothing, artifacts=nothing.artifacts[:1])
    assert tables_of(only).artifact.id == REFERENCE
    assert section_of(only)


def test_many_classes_have_no_table_of_confusions(evidence):
    true = np.arange(120) % 60
    wide = [figures(said, 60, true) for said in (true, np.maximum(true - 1, 0))]
    many = replace(
        evidence,
        artifacts=(replace(evidence.artifacts[0], per_class=wide[0]), replace(evidence.artifacts[2], per_class=wide[1])),
    )
    section = section_of(many)
    assert "table-confusion-counts" not in section
    assert len(cells(section.partition('id="table-confusions"')[2])) == 20
    assert "60 classes, the largest drop first" in section


def test_a_perfect_artifact_has_no_confusions(evidence):
    perfect = replace(evidence, artifacts=(replace(evidence.artifacts[2], per_class=figures(TRUE)),))
    assert "Every answer that counts is right." in section_of(perfect)


def test_evidence_of_earlier_versions_opens_without_the_section(evidence, tmp_path):
    path = tmp_path / "evidence.json"
    evidence.write(path)
    assert read_evidence(path) == evidence
    value = json.loads(path.read_text())
    for one in value["artifacts"]:
        del one["per_class"]
    path.write_text(json.dumps(value))
    old = read_evidence(path)
    assert all(one.per_class is None for one in old.artifacts)
    assert 'id="per-class"' not in html.render(old)
    assert markdown.summary(old)


def test_points_have_no_negative_zero():
    assert [points(value) for value in (None, -0.001, -1.5, 2.345)] == ["n/a", "0.00", "-1.50", "2.35"]
