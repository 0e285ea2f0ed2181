"""Further metrics, each output's parity, and that data had no labels, in every view that has them."""

from dataclasses import replace

import pytest

from artifacts.records.evidence import FurtherMetric, read_evidence
from artifacts.records.invariance import InvarianceRecord
from tightship.reporting.sections.scores.outputs import NO_LABELS, OUTPUTS


@pytest.fixture
def several(make_evidence):
    evidence = make_evidence(count=3)
    more = FurtherMetric("mae@boxes", 0.02, 0.0312, "smaller"), FurtherMetric("<b>top5|", 0.9, 0.987, "larger", "share")
    artifacts = [
        replace(
            a,
            accuracy=replace(a.accuracy, further=more if n else more[:1], labelled=False),
            parity=replace(a.parity, rms_by_output={"scores": 1e-4, "boxes": 0.25}),
        )
        for n, a in enumerate(evidence.artifacts)
    ]
    return replace(evidence, artifacts=tuple(artifacts))


def test_every_further_metric_and_output_is_shown(several, page):
    text = page(several)
    for shown in (
        "mae@boxes",
        "0.0312",
        "98.70 %",
        "scores",
        "boxes",
        "0.25",
        NO_LABELS.replace("'", "&#39;"),
        "&lt;b&gt;top5|",
    ):
        assert shown in text, shown
    assert "<b>top5" not in text
    lines = "\n".join(OUTPUTS.markdown(several))
    assert NO_LABELS in lines
    assert "98.70 %" in lines
    assert "top5\\|" in lines


def test_a_run_with_one_metric_and_output_has_nothing_of_it(make_evidence, page):
    evidence = make_evidence(count=3)
    assert 'id="outputs"' not in page(evidence)
    assert OUTPUTS.markdown(evidence) == ()


@pytest.mark.parametrize(
    ("batch", "padding", "shown"), [(1e-7, None, False), (0.03, None, True), (1e-7, 0.0, True), (None, 0.7, True)]
)
def test_answers_that_depend_on_company_or_padding_are_shown(make_evidence, page, batch, padding, shown):
    evidence = make_evidence(count=2)
    found = InvarianceRecord(batch, padding)
    evidence = replace(evidence, artifacts=tuple(replace(a, invariance=found) for a in evidence.artifacts))
    assert ("with other padding" in page(evidence)) == shown
    assert ("with other padding" in "\n".join(OUTPUTS.markdown(evidence))) == shown


def test_evidence_keeps_them(several, tmp_path):
    several.write(tmp_path / "evidence.json")
    back = read_evidence(tmp_path / "evidence.json")
    assert back.artifacts[1].accuracy == several.artifacts[1].accuracy
    assert back.artifacts[1].parity == several.artifacts[1].parity
