"""What every view of a run must say, in the page, the terminal, Markdown and JUnit, and what none may."""

import io
import re
from dataclasses import replace
from html import unescape
from xml.etree import ElementTree

import pytest
from rich.console import Console

from artifacts.records import evidence as ev
from tightship.reporting import formatting, write_views
from tightship.reporting.scores import score
from tightship.reporting.views import junit, markdown, terminal


def test_names_reach_the_terminal_as_they_are(hostile_evidence, printed):
    assert printed(hostile_evidence).count("[bold]x[/bold] :warning:") >= 4


def test_no_view_lets_control_characters_through(hostile_evidence, page, printed):
    evidence = hostile_evidence
    for text in (page(evidence), printed(evidence), markdown.summary(evidence), junit.render(evidence)):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ud800]", text)
        text.encode()


@pytest.mark.parametrize("count", [0, 1, 9, 200])
def test_any_number_of_artifacts_renders(count, make_evidence, page, printed):
    evidence = make_evidence(count)
    text = page(evidence)
    assert text.count("<tr class=") >= count
    assert all(a.id in text for a in evidence.artifacts)
    assert printed(evidence)
    assert markdown.summary(evidence)
    assert ElementTree.fromstring(junit.render(evidence)).get("tests") is not None


def test_missing_p99_is_said(make_evidence, page, printed):
    evidence = make_evidence(samples=500)
    cells = {unescape(re.sub("<[^>]+>", "", cell)) for cell in re.findall(r"<td[^>]*>(n/a<small>.*?)</td>", page(evidence))}
    assert "n/a<1000 calls" in cells
    assert not any("lt;" in cell for cell in cells)
    assert "n/a*" in printed(evidence)
    assert "no p99 from fewer than 1000 samples" in printed(evidence)
    assert "n/a (\\<1000 samples)" in markdown.summary(evidence)


def test_p99_from_too_few_samples_is_not_shown_even_if_recorded(make_artifact, make_evidence, page, printed):
    latency = replace(make_artifact(1).latency_ms, samples=999, p99=7.77)
    evidence = make_evidence(2, failing=())
    evidence = replace(evidence, artifacts=tuple(replace(a, latency_ms=latency) for a in evidence.artifacts))
    for text in (page(evidence), printed(evidence), markdown.summary(evidence)):
        assert "7.77" not in text


def test_only_a_shown_difference_is_called_faster(make_evidence, page, printed):
    evidence = make_evidence(2, failing=())
    doubtful = ev.SpeedupRecord("torch-cpu/fp32", 3.0, (0.9, 4.0), "no difference shown")
    evidence = replace(evidence, artifacts=(evidence.artifacts[0], replace(evidence.artifacts[1], speedup=doubtful)))
    body = page(evidence).partition("<main>")[2].partition('<script type="application/json"')[0]
    for text in (body, printed(evidence), markdown.summary(evidence)):
        assert not re.search(r"faster than|[×x] faster|\] faster|>faster<", text)


def test_verdict_names_what_to_ship_and_its_three_deciding_numbers(make_evidence, page, printed):
    evidence = make_evidence()
    best = evidence.artifact(evidence.verdict.best)
    for text in (page(evidence), markdown.summary(evidence), printed(evidence)):
        assert f"Ship {best.id}" in text
    verdict = page(evidence).partition('id="verdict"')[2].partition("</section>")[0]
    for shown in (score(best.accuracy.deployed, best.accuracy), formatting.number(best.latency_ms.p50)):
        assert shown in verdict
    assert "below the reference" in verdict
    assert "of the reference (1.10 MB" in verdict


def test_failed_run_does_not_say_ship(make_evidence, page, printed):
    evidence = make_evidence(3, failing=(1, 2))
    for text in (page(evidence), markdown.summary(evidence), printed(evidence)):
        assert "Do not ship" in text
        assert "0.021" in text
        assert "no NVIDIA GPU here" in text


def test_terminal_table_fits_120_columns(make_evidence, printed):
    lines = printed(make_evidence(24)).splitlines()
    assert max(map(len, lines[:27])) <= 120
    assert lines[1].split()[-2:] == ["parity", "outside"]
    assert any(line.startswith("torch-cpu/fp32") for line in lines)


@pytest.mark.parametrize(
    ("width", "gone", "kept"), [(200, (), ("cold", "p90", "p99", "RSS")), (112, ("cold", "p90"), ("p50", "kB", "parity"))]
)
def test_what_is_wider_than_the_terminal_loses_whole_columns_and_no_name(width, gone, kept, make_evidence, printed):
    evidence = make_evidence(9)
    long = replace(evidence.artifacts[1], id="a-target-with-a-long-name/int8-qat")
    lines = printed(replace(evidence, artifacts=(long, *evidence.artifacts[2:])), width).splitlines()
    assert set(kept) <= set(lines[1].split())
    assert not set(gone) & set(lines[1].split())
    assert any(line.startswith(long.id + " ") for line in lines)


def test_terminal_survives_an_ascii_log(make_evidence):
    raw = io.BytesIO()
    log = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    terminal.print_table(replace(make_evidence(2), not_run=(ev.NotRun("naïve", "größer"),)), Console(file=log))
    assert b"na?ve" in raw.getvalue()


def test_junit_counts_failures_and_skips(make_evidence):
    evidence = make_evidence()
    root = ElementTree.fromstring(junit.render(evidence))
    gates = sum(len(a.gates) for a in evidence.artifacts)
    assert int(root.get("tests")) == len(root.findall(".//testcase")) == gates + len(evidence.artifacts) + 1
    assert root.get("failures") == "1"
    assert root.find(".//failure").get("message") == "0.021 > 0.01"
    assert root.find(".//skipped").get("message") == "no NVIDIA GPU here"


def test_failed_parity_is_a_failure_in_every_view(make_evidence, page, printed):
    evidence = make_evidence(2, failing=())
    broken = replace(evidence.artifacts[1].parity, passed=False, max_error=0.7, first_bad="layer3.conv2")
    evidence = replace(evidence, artifacts=(evidence.artifacts[0], replace(evidence.artifacts[1], parity=broken)))
    for text in (page(evidence), printed(evidence), markdown.summary(evidence), junit.render(evidence)):
        assert "first bad: layer3.conv2" in text
    assert ElementTree.fromstring(junit.render(evidence)).get("failures") == "1"


def test_junit_of_a_failed_run_without_artifacts_is_not_green(make_evidence):
    root = ElementTree.fromstring(junit.render(make_evidence(0)))
    assert root.get("failures") == "1"


def test_all_views_are_written(tmp_path, make_evidence):
    paths = write_views(make_evidence(), tmp_path)
    assert [p.name for p in paths] == ["report.html", "summary.md", "junit.xml"]
    assert all(p.stat().st_size for p in paths)
